"""Low-rank adapters (LoRA, Hu et al., 2021): which leaves they are, and the network without them.

A tree has adapters if its layers hold leaves such as query_a [L, in, rank] and query_b [L, rank,
out] beside query [L, in, out]; the decoder adds query_a @ query_b * alpha / rank to the weight.
Then only they are trained (and a scalar head, which no model comes with).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from models import transformer
from models.layer import LINEAR
from models.model_config import ModelConfig
from models.partitioning import path_name
from models.transformer import Params

_A, _B = ({f"{name}_{kind}" for name in LINEAR} for kind in "ab")


def are_in(params: Params) -> bool:
  return "query_a" in params["layers"]


def add(config: ModelConfig, params: Params, key: jax.Array) -> Params:
  """`params` with new adapters, whose product is 0. Pure."""
  fresh = transformer.init(config, key)["layers"]
  added = {name: leaf for name, leaf in fresh.items() if name in _A | _B}
  return {**params, "layers": params["layers"] | added}


def trainable(params: Params) -> Any:
  """The leaves that are trained, None in place of the others; without adapters, all leaves."""
  if not are_in(params):
    return params
  moving = {*_A, *_B, "scalar_head"}
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: leaf if path_name(path[-1:]) in moving else None, params
  )


def join(moved: Any, params: Params) -> Params:
  """`params` with the leaves of `moved` (as `trainable` gave them) in their places."""
  return jax.tree.map(
    lambda new, old: old if new is None else new, moved, params, is_leaf=lambda x: x is None
  )


def off(params: Params) -> Params:
  """`params` with adapters whose product is 0 again; all other leaves are shared."""
  layers = params["layers"]
  zeros = {name: jnp.zeros_like(layers[name]) for name in _B & layers.keys()}
  return {**params, "layers": layers | zeros}


def merged(config: ModelConfig, params: Params) -> Params:
  """`params` with every adapter added into its weight; the network computes the same. Pure."""
  return {**params, "layers": merged_leaves(config, params["layers"])}


def merged_leaves(config: ModelConfig, leaves: Mapping[str, Any]) -> dict[str, Any]:
  """Adds adapters into the weights beside them, in some leaves of one layer or of all."""
  merged = {name: leaf for name, leaf in leaves.items() if name not in _A | _B}
  for name in merged:
    if f"{name}_a" in leaves:
      low = leaves[f"{name}_a"] @ leaves[f"{name}_b"]
      merged[name] = merged[name] + low * (config.lora_alpha / config.lora_rank)
  return merged


def reference_of(params: Params, reference: Params | None) -> Params | None:
  """The reference, or of a policy with adapters its own network without them: one is held."""
  return off(params) if reference is not None and are_in(params) else reference
