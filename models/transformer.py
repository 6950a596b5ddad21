"""A decoder for groups: embedding, a stack of layers, final norm and head.

A row is a prompt and its K responses, which attend to that one prompt and to their own past.
Training reads whole rows (`Decoder.read`); the sampler goes layer by layer, through the prompts,
whose keys and values it keeps, and then a token at a time (`Layer.step`). What a layer computes is
in `layer.py`, and for other families than Llama's in `blocks/`.

The network is a Flax NNX module, used functionally: `init` gives parameters as a plain tree, and
`bind` puts such a tree back into the module. Only `models/` knows there is a module.
"""

import importlib
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from models.attention import einsum_in_float32
from models.layer import Layer
from models.model_config import REMAT, ModelConfig
from models.partitioning import split_by_prompts
from models.rotary import rotary_turns

Params = Any  # a tree of nested dicts; layers are stacked along the first axis of their leaves


class Decoder(nnx.Module):
  """Embedding, a stack of layers scanned over, final norm and head."""

  def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
    self.c, block = c, block_of(c)
    embedding = jax.random.normal(rngs.params(), (c.vocab_size, c.d_model), jnp.float32)
    self.embedding = nnx.Param(embedding * c.d_model**-0.5)
    # One module whose leaves have a leading axis of layers: it compiles once, whatever the depth.
    self.layers = nnx.vmap(lambda r: block(c, r), axis_size=c.layers)(rngs.split(c.layers))
    self.final_norm = nnx.Param(jnp.full(c.d_model, block.first_scale, jnp.float32))
    if not c.tied:
      head = jax.random.normal(rngs.params(), (c.d_model, c.vocab_size), jnp.float32)
      self.head = nnx.Param(head * c.d_model**-0.5)

  def embed(self, tokens: Int[Array, "*n"], *, is_whole: bool = False) -> Float[Array, "*n M"]:
    """Rows of the embedding, split by prompts on a mesh; `is_whole` if every device has all."""
    rows = self.embedding[...][tokens].astype(self.c.dtype)
    return split_by_prompts(block_of(self.c).embedded(self.c, rows), is_whole=is_whole)

  def read(
    self,
    prompts: Int[Array, "B P"],
    prompt_mask: Bool[Array, "B P"],
    responses: Int[Array, "B K S"] | None = None,
  ) -> Float[Array, "B N M"]:
    """Hidden states of prompts, then of responses: N = P + K S.

    Left-padded prompts end at the same column, so a response's token t stands at position (tokens
    of its prompt) + t.
    """
    tokens, positions, k = prompts, prompt_positions(prompt_mask), 0
    if responses is not None:
      b, k, s = responses.shape
      tokens = jnp.concatenate([prompts, responses.reshape(b, k * s)], axis=1)
      further = prompt_mask.sum(axis=1)[:, None] + jnp.tile(jnp.arange(s), k)
      positions = jnp.concatenate([positions, further], axis=1)
    turns = self.turns(positions)

    def one_layer(x, layer, window):
      return layer.read(x, turns, prompt_mask, k, window)[0]

    return self._through(one_layer, tokens)

  def read_rows(
    self, tokens: Int[Array, "R L"], positions: Int[Array, "R L"], sees: Bool[Array, "R L L"]
  ) -> Float[Array, "R L M"]:
    """Hidden states of rows in which `sees` says which tokens (the last axis) each attends to."""
    turns = self.turns(positions)

    def one_layer(x, layer, window):
      return layer.read_rows(x, turns, positions, sees, window)

    return self._through(one_layer, tokens)

  def _through(self, one_layer, tokens: Int[Array, "R N"]) -> Float[Array, "R N M"]:
    """Embeds, and goes through the layers: one_layer(x, layer, window)."""
    policy = REMAT[self.c.remat]
    if policy is not None:
      one_layer = nnx.remat(one_layer, policy=policy, prevent_cse=False)  # a scan's never merges
    scan = nnx.scan(one_layer, in_axes=(nnx.Carry, 0, 0), out_axes=nnx.Carry)
    return self.normed(scan(self.embed(tokens), self.layers, windows_of(self.c)))

  def turns(self, positions: Int[Array, "*n"]) -> tuple[Float[Array, "*n 2 half"], ...]:
    """Rotations at these positions: for layers that see all, then, if any, those with a window."""
    c = self.c
    turns = (rotary_turns(positions, c.head_dim, c.rope_theta, c.rope_scaling),)
    if c.windows:
      turns += (rotary_turns(positions, c.head_dim, c.local_rope_theta or c.rope_theta, None),)
    return turns

  def normed(self, x: Float[Array, "*n M"]) -> Float[Array, "*n M"]:
    return block_of(self.c).rms_norm(x, self.final_norm[...], self.c.norm_eps)

  def logits(self, hidden: Float[Array, "*n M"]) -> Float[Array, "*n V"]:
    """Float32, whatever the activations are."""
    head = self.embedding[...].T if self.c.tied else self.head[...]
    rows = hidden.reshape(-1, hidden.shape[-1])
    logits = einsum_in_float32("nm,mv->nv", rows, head.astype(hidden.dtype))
    return logits.reshape(*hidden.shape[:-1], -1)


def windows_of(c: ModelConfig) -> Int[Array, " layers"] | None:
  """Each layer's window, to be scanned over beside its parameters; None where no layer has one."""
  return jnp.asarray(c.windows, jnp.int32) if c.windows else None


@cache
def block_of(c: ModelConfig) -> type[Layer]:
  """The class of the layers, which `block` names as "module:class"."""
  module, _, name = c.block.partition(":")
  return getattr(importlib.import_module(module), name)


def prompt_positions(mask: Bool[Array, "B P"]) -> Int[Array, "B P"]:
  """Left-padded: positions count the tokens that are there, so padding changes nothing."""
  return jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)


# --- functional use -----------------------------------------------------------------------------


def init(config: ModelConfig, key: jax.Array) -> Params:
  """Random parameters, float32. Pure: jit it with `out_shardings` to be born in shards."""
  return nnx.to_pure_dict(nnx.split(Decoder(config, nnx.Rngs(params=key)))[1])


def bind(config: ModelConfig, params: Params) -> Decoder:
  """The network with these parameters: `bind(config, params).read(...)`. Pure and free."""
  return nnx.merge(_structure(config), params)


@cache
def _structure(config: ModelConfig) -> nnx.GraphDef:
  return nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0))))[0]


def bind_layer(config: ModelConfig, params: Params) -> Layer:
  """One layer, with its own slice of `params["layers"]`."""
  return nnx.merge(_layer_structure(config), params)


@cache
def _layer_structure(config: ModelConfig) -> nnx.GraphDef:
  return nnx.split(nnx.eval_shape(lambda: block_of(config)(config, nnx.Rngs(params=0))))[0]
