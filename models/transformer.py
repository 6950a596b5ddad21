"""A decoder of the Llama / Qwen / SmolLM / Mistral shape: RMSNorm, RoPE, GQA, SwiGLU.

Written for groups: a row is a prompt and its K responses, which attend to that one prompt and to
their own past. Training reads whole rows (`Decoder.read`); the sampler goes layer by layer, through
the prompts, whose keys and values it keeps, and then a token at a time (`Layer.step`).

The network is a Flax NNX module, used functionally: `init` gives parameters as a plain tree, and
`bind` puts such a tree back into the module. Only `models/` knows there is a module.
"""

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from models.attention import Attended, KeysValues, Llama3Rope, attend, rotary_turns, rotate
from models.partitioning import split_by_prompts

Params = Any  # a tree of nested dicts; layers are stacked along the first axis of their leaves


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a decoder, and how it computes. Hashable: compiled functions are cached by it."""

  vocab_size: int
  layers: int = 3
  d_model: int = 128
  heads: int = 4
  kv_heads: int = 2
  head_dim: int = 32
  ff_dim: int = 384
  tied: bool = True  # the output head is the embedding, transposed
  qk_norm: bool = True  # Qwen3's RMSNorm on queries and keys
  attention_bias: bool = False  # Qwen2's biases on queries, keys and values
  rope_theta: float = 10_000.0
  rope_scaling: Llama3Rope | None = None
  norm_eps: float = 1e-6
  dtype: str = "float32"  # of activations; parameters and log-probs are float32 always
  attention: str = "auto"  # how it is computed, see `attention.attend`
  logits_at_once: int = 2**26  # more are computed in pieces, and again in the backward pass
  remat: str = "dots"  # what the backward pass computes again, see REMAT
  lora_rank: int = 0  # of the adapters on every linear layer; 0: none
  lora_alpha: float = 16.0  # they count lora_alpha / lora_rank times


# What the backward pass keeps of a layer; all else it computes again.
REMAT = {
  "none": None,  # keep everything: the most memory, and on a CPU slower for all that it writes
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # outputs of linear layers
  "layers": jax.checkpoint_policies.nothing_saveable,  # only what enters the layer: least memory
}
LINEAR = ("query", "key", "value", "output", "gate", "up", "down")  # of each layer


# --- layers -------------------------------------------------------------------------------------


def rms_norm(x, scale, eps):
  """x / sqrt(mean x^2 + eps) * scale, computed in float32 (Zhang & Sennrich, 2019)."""
  x32 = x.astype(jnp.float32)
  inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * inverse).astype(x.dtype) * scale.astype(x.dtype)


def matmul(x: Float[Array, "*n In"], weight: Float[Array, "In Out"], **options):
  """x W over flat rows: with more axes, XLA's CPU backend transposes for the weight's gradient."""
  y = jnp.matmul(x.reshape(-1, x.shape[-1]), weight, **options)
  return y.reshape(*x.shape[:-1], -1)


class Layer(nnx.Module):
  """One decoder layer. Weights are [in, out]; queries are grouped by the key head they share."""

  def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
    def normal(n, m):
      return nnx.Param(jax.random.normal(rngs.params(), (n, m), jnp.float32) / jnp.sqrt(n))

    self.c = c
    query, key, ff = c.heads * c.head_dim, c.kv_heads * c.head_dim, c.ff_dim
    sizes = {"query": (c.d_model, query), "key": (c.d_model, key), "value": (c.d_model, key)}
    sizes |= {"output": (query, c.d_model)}
    sizes |= {"gate": (c.d_model, ff), "up": (c.d_model, ff), "down": (ff, c.d_model)}
    for name in LINEAR:
      setattr(self, name, normal(*sizes[name]))
      if c.lora_rank:  # Hu et al., 2021: the product is 0 at first
        setattr(self, name + "_a", normal(sizes[name][0], c.lora_rank))
        setattr(self, name + "_b", nnx.Param(jnp.zeros((c.lora_rank, sizes[name][1]))))
    if c.attention_bias:
      self.query_bias = nnx.Param(jnp.zeros(query))
      self.key_bias, self.value_bias = nnx.Param(jnp.zeros(key)), nnx.Param(jnp.zeros(key))
    self.attention_norm = nnx.Param(jnp.ones(c.d_model))
    self.ff_norm = nnx.Param(jnp.ones(c.d_model))
    if c.qk_norm:
      self.query_norm = nnx.Param(jnp.ones(c.head_dim))
      self.key_norm = nnx.Param(jnp.ones(c.head_dim))

  def linear(self, name: str, x: Float[Array, "*n In"]) -> Float[Array, "*n Out"]:
    """x W, with the bias and the low-rank adapter where there are any."""

    def weight(kind=""):
      return getattr(self, name + kind)[...].astype(x.dtype)

    y = matmul(x, weight())
    if hasattr(self, name + "_bias"):
      y = y + weight("_bias")
    if self.c.lora_rank:
      low = matmul(matmul(x, weight("_a")), weight("_b"))
      y = y + low * (self.c.lora_alpha / self.c.lora_rank)
    return y

  def project(self, x: Float[Array, "B N M"], turns: Float[Array, "B #N 2 half"]):
    """Queries [B, N, H, G, D], divided by sqrt(D); keys and values [B, N, H, D]."""
    c = self.c
    x = rms_norm(x, self.attention_norm[...], c.norm_eps)
    q, k, v = (
      self.linear(name, x).reshape(*x.shape[:-1], c.kv_heads, -1, c.head_dim)
      for name in ("query", "key", "value")
    )
    if c.qk_norm:
      q = rms_norm(q, self.query_norm[...], c.norm_eps)
      k = rms_norm(k, self.key_norm[...], c.norm_eps)
    turns = turns[:, :, None, None]
    q, k = rotate(q, turns) * c.head_dim**-0.5, rotate(k, turns)
    return q, k[:, :, :, 0], v[:, :, :, 0]

  def finish(self, x, attended):
    """The output projection and the feed-forward block, both residual."""
    x = x + self.linear("output", attended)
    h = rms_norm(x, self.ff_norm[...], self.c.norm_eps)
    return x + self.linear("down", jax.nn.silu(self.linear("gate", h)) * self.linear("up", h))

  def read(self, x: Float[Array, "B N M"], turns, prompt_mask: Bool[Array, "B P"], k: int):
    """A row is a prompt, then its k responses one after the other: N = P + k S.

    Returns x, and the keys and values of the prompts.
    """
    (b, p), projected = prompt_mask.shape, self.project(x, turns)
    attended, prompt = self.within_prompts([y[:, :p] for y in projected], prompt_mask)
    if x.shape[1] > p:
      queries, own = heads_first(*(y[:, p:].reshape(b, k, -1, *y.shape[2:]) for y in projected))
      s = queries.shape[3]
      parts = [
        Attended(prompt, prompt_mask[:, None, None, None, None]),
        Attended(own, jnp.tril(jnp.ones((s, s), bool))[:, None]),
      ]
      others = attend(queries, parts, self.c.attention).reshape(b, k * s, -1)
      attended = jnp.concatenate([attended, others], axis=1)
    return self.finish(x, attended), prompt

  def read_last(self, x: Float[Array, "B P M"], turns, prompt_mask: Bool[Array, "B P"]):
    """As `read`, for prompts alone, with x of their last token only: what a last layer is for."""
    attended, prompt = self.within_prompts(self.project(x, turns), prompt_mask, since=-1)
    return self.finish(x[:, -1:], attended), prompt

  def within_prompts(self, projected, prompt_mask: Bool[Array, "B P"], since: int = 0):
    """What prompts' tokens from `since` on gather, and the keys and values of all of them."""
    queries, prompt = heads_first(*(y[:, None] for y in projected))
    causal = jnp.tril(jnp.ones((prompt_mask.shape[1],) * 2, bool)) & prompt_mask[:, None, :]
    parts = [Attended(prompt, causal[:, None, None, since:, None])]
    return attend(queries[:, :, :, since:], parts, self.c.attention)[:, 0], prompt

  def step(self, x: Float[Array, "B K M"], turns, prompt, prompt_mask, past, t):
    """Token t of each response. Returns x, and `past` with this token's keys and values in it."""
    queries, new = heads_first(*(y[:, :, None] for y in self.project(x, turns)))
    parts = [
      Attended(prompt, prompt_mask[:, None, None, None, None]),
      Attended(past, jnp.arange(past.keys.shape[-1]) < t),
      Attended(new, jnp.ones(1, bool)),
    ]
    attended = attend(queries, parts, self.c.attention)
    # Written after it is read: XLA, which has to see that in the data, then writes in place and
    # need not copy the whole past at every token.
    read = 0 * attended[:, None, :, :1, :1]
    past = KeysValues(
      jax.lax.dynamic_update_slice_in_dim(past.keys, new.keys + read, t, axis=4),
      jax.lax.dynamic_update_slice_in_dim(past.values, new.values + read, t, axis=3),
    )
    return self.finish(x, attended[:, :, 0]), past


def heads_first(
  queries: Float[Array, "B J S H G D"],
  keys: Float[Array, "B J S H D"],
  values: Float[Array, "B J S H D"],
) -> tuple[Float[Array, "B H J S G D"], KeysValues]:
  """As `attention` has them, from tokens first."""
  seen = KeysValues(keys.transpose(0, 3, 1, 4, 2), values.transpose(0, 3, 1, 2, 4))
  return queries.transpose(0, 3, 1, 2, 4, 5), seen


class Decoder(nnx.Module):
  """Embedding, a stack of layers scanned over, final norm and head."""

  def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
    self.c = c
    embedding = jax.random.normal(rngs.params(), (c.vocab_size, c.d_model), jnp.float32)
    self.embedding = nnx.Param(embedding * c.d_model**-0.5)
    # One module whose leaves have a leading axis of layers: it compiles once, whatever the depth.
    self.layers = nnx.vmap(lambda r: Layer(c, r), axis_size=c.layers)(rngs.split(c.layers))
    self.final_norm = nnx.Param(jnp.ones(c.d_model, jnp.float32))
    if not c.tied:
      head = jax.random.normal(rngs.params(), (c.d_model, c.vocab_size), jnp.float32)
      self.head = nnx.Param(head * c.d_model**-0.5)

  def embed(self, tokens):
    return split_by_prompts(self.embedding[...][tokens].astype(self.c.dtype))

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
    c, tokens, positions, k = self.c, prompts, prompt_positions(prompt_mask), 0
    if responses is not None:
      b, k, s = responses.shape
      tokens = jnp.concatenate([prompts, responses.reshape(b, k * s)], axis=1)
      further = prompt_mask.sum(axis=1)[:, None] + jnp.tile(jnp.arange(s), k)
      positions = jnp.concatenate([positions, further], axis=1)
    turns = self.turns(positions)

    def one_layer(x, layer):
      return layer.read(x, turns, prompt_mask, k)[0]

    policy = REMAT[c.remat]
    if policy is not None:
      one_layer = nnx.remat(one_layer, policy=policy, prevent_cse=False)  # a scan's never merges
    scan = nnx.scan(one_layer, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    return self.normed(scan(self.embed(tokens), self.layers))

  def turns(self, positions: Int[Array, "*n"]) -> Float[Array, "*n 2 half"]:
    """Of the rotary embedding, at these positions."""
    return rotary_turns(positions, self.c.head_dim, self.c.rope_theta, self.c.rope_scaling)

  def normed(self, x):
    return rms_norm(x, self.final_norm[...], self.c.norm_eps)

  def logits(self, hidden: Float[Array, "*n M"]) -> Float[Array, "*n V"]:
    """Float32, whatever the activations are."""
    head = self.embedding[...].T if self.c.tied else self.head[...]
    return matmul(hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)


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
  return nnx.split(nnx.eval_shape(lambda: Layer(config, nnx.Rngs(params=0))))[0]
