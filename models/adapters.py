"""Low-rank adapters (LoRA, Hu et al., 2021): which leaves they are, and the network without them.

A tree has adapters if its layers hold leaves such as query_a [L, in, rank] and query_b [L, rank,
out] beside query [L, in, out]; the decoder adds query_a @ query_b * alpha / rank to the weight.
Then only they are trained (and a scalar head, which no model comes with).
"""

from typing import Any

import jax
import jax.numpy as jnp

from models import transformer
from models.partitioning import path_name
from models.transformer import LINEAR, ModelConfig, Params

_A, _B = ({f"{name}_{kind}" for name in LINEAR} for kind in "ab")


def are_in(params: Params) -> bool:
  return "query_a" in params["layers"]


def add(config: ModelConfig, params: Params, key: jax.Array) -> Params:
  """`params` with new adapters, whose product is 0. Pure."""
  fresh = transformer.init(config, key)["layers"]
  added = {name: leaf for name, leaf in fresh.items() if name in _A | _B}
  return {**params, "layers": params["layers"] | added}


def trainable(params: Params) -> Any:
  """The tree with None in place of the leaves that stay as they are; all of it without adapters."""
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
  """The network as it was before its adapters learned; shares all other leaves with `params`."""
  layers = params["layers"]
  zeros = {name: jnp.zeros_like(layers[name]) for name in _B & layers.keys()}
  return {**params, "layers": layers | zeros}


def merged(params: Params, scale: float) -> Params:
  """The network without adapters that computes the same. `scale`: alpha / rank. Pure."""
  layers = {name: leaf for name, leaf in params["layers"].items() if name not in _A | _B}
  for name in LINEAR:
    layers[name] += params["layers"][f"{name}_a"] @ params["layers"][f"{name}_b"] * scale
  return {**params, "layers": layers}


def reference_of(params: Params, reference: Params | None) -> Params | None:
  """With adapters, the policy's own network without them: no second model is held."""
  return off(params) if reference is not None and are_in(params) else reference
