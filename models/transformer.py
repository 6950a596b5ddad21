"""A decoder of the Llama / Qwen3 shape: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Written for groups: `prefill` reads each prompt once and keeps its keys and values; `extend` reads
tokens of the K responses, which attend to that one prompt and to their own past. Training extends
by all response tokens at once, decoding by one token at a time; both are the same computation.

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

Params = Any  # a tree of nested dicts; layers are stacked along the first axis of their leaves


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a decoder. Hashable: compiled functions are cached by it."""

  vocab_size: int
  layers: int = 3
  d_model: int = 128
  heads: int = 4
  kv_heads: int = 2
  head_dim: int = 32
  ff_dim: int = 384
  tied: bool = True  # the output head is the embedding, transposed
  qk_norm: bool = True  # Qwen3's RMSNorm on queries and keys
  rope_theta: float = 10_000.0
  norm_eps: float = 1e-6
  dtype: str = "float32"  # of activations; parameters and log-probs are float32 always


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeysValues:
  """Keys and values of every layer. The axes before the heads are those of the tokens."""

  keys: Float[Array, "L *tokens Hkv D"]
  values: Float[Array, "L *tokens Hkv D"]


# --- layers -------------------------------------------------------------------------------------


def rms_norm(x, scale, eps):
  """x / sqrt(mean x^2 + eps) * scale, computed in float32 (Zhang & Sennrich, 2019)."""
  x32 = x.astype(jnp.float32)
  inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * inverse).astype(x.dtype) * scale.astype(x.dtype)


def rotate(x: Float[Array, "*n S H D"], positions: Int[Array, "*n S"], theta: float):
  """Rotary position embedding (Su et al., 2021) in Llama's half layout: pairs are (i, i + D/2)."""
  half = x.shape[-1] // 2
  frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angles = positions[..., None, None] * frequencies
  cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
  x1, x2 = x[..., :half], x[..., half:]
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)


def masked_softmax(scores, mask):
  """Softmax over the last axis in float32. A row that may attend to nothing gives garbage."""
  scores = jnp.where(mask, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)
  return jax.nn.softmax(scores, axis=-1)


class Layer(nnx.Module):
  """One decoder layer. Weights are [in, out]; queries are grouped by the key head they share."""

  def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
    def weight(*shape):
      normal = jax.random.normal(rngs.params(), shape, jnp.float32)
      return nnx.Param(normal / jnp.sqrt(shape[0]))

    def ones(n):
      return nnx.Param(jnp.ones(n, jnp.float32))

    self.c = c
    self.attention_norm, self.ff_norm = ones(c.d_model), ones(c.d_model)
    self.query = weight(c.d_model, c.heads * c.head_dim)
    self.key = weight(c.d_model, c.kv_heads * c.head_dim)
    self.value = weight(c.d_model, c.kv_heads * c.head_dim)
    self.output = weight(c.heads * c.head_dim, c.d_model)
    self.gate, self.up = weight(c.d_model, c.ff_dim), weight(c.d_model, c.ff_dim)
    self.down = weight(c.ff_dim, c.d_model)
    if c.qk_norm:
      self.query_norm, self.key_norm = ones(c.head_dim), ones(c.head_dim)

  def project(self, x: Float[Array, "*n S M"], positions):
    """Queries [*n, S, Hkv, G, D] (G heads share a key head), keys and values [*n, S, Hkv, D]."""
    c = self.c
    x = rms_norm(x, self.attention_norm[...], c.norm_eps)
    q = (x @ self.query[...].astype(x.dtype)).reshape(*x.shape[:-1], c.heads, c.head_dim)
    k = (x @ self.key[...].astype(x.dtype)).reshape(*x.shape[:-1], c.kv_heads, c.head_dim)
    v = (x @ self.value[...].astype(x.dtype)).reshape(*x.shape[:-1], c.kv_heads, c.head_dim)
    if c.qk_norm:
      q = rms_norm(q, self.query_norm[...], c.norm_eps)
      k = rms_norm(k, self.key_norm[...], c.norm_eps)
    q, k = rotate(q, positions, c.rope_theta), rotate(k, positions, c.rope_theta)
    q = q * c.head_dim**-0.5
    return (
      q.reshape(*q.shape[:-2], c.kv_heads, c.heads // c.kv_heads, c.head_dim),
      k,
      v,
    )

  def finish(self, x, attended):
    """The output projection and the feed-forward block, both residual."""
    c = self.c
    attended = attended.reshape(*x.shape[:-1], c.heads * c.head_dim)
    x = x + attended @ self.output[...].astype(x.dtype)
    h = rms_norm(x, self.ff_norm[...], c.norm_eps)
    h = jax.nn.silu(h @ self.gate[...].astype(x.dtype)) * (h @ self.up[...].astype(x.dtype))
    return x + h @ self.down[...].astype(x.dtype)

  def prefill(self, x: Float[Array, "B P M"], positions, mask: Bool[Array, "B P"]):
    """Causal attention within each prompt."""
    q, k, v = self.project(x, positions)
    causal = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
    scores = jnp.einsum("bqhgd,bphd->bhgqp", q, k)
    weights = masked_softmax(scores, causal & mask[:, None, None, None, :]).astype(x.dtype)
    return self.finish(x, jnp.einsum("bhgqp,bphd->bqhgd", weights, v)), (k, v)

  def extend(self, x: Float[Array, "B K S M"], positions, prompt, prompt_mask, past, index):
    """S tokens of each response attend to their prompt and to the response so far.

    `past`: keys and values [B, K, T, Hkv, D] of the response; the S new ones go in at `index`.
    None when the S tokens are the whole response.
    """
    q, keys, values = self.project(x, positions)
    if past is not None:
      keys = jax.lax.dynamic_update_slice_in_dim(past[0], keys, index, axis=2)
      values = jax.lax.dynamic_update_slice_in_dim(past[1], values, index, axis=2)
    seen = jnp.arange(keys.shape[2])[None, :] <= index + jnp.arange(x.shape[2])[:, None]
    on_prompt = jnp.einsum("bkshgd,bphd->bkhgsp", q, prompt[0])
    on_past = jnp.einsum("bkshgd,bkthd->bkhgst", q, keys)
    scores = jnp.concatenate([on_prompt, on_past], axis=-1)
    mask = jnp.concatenate(
      [
        jnp.broadcast_to(prompt_mask[:, None, None, None, None, :], on_prompt.shape),
        jnp.broadcast_to(seen, on_past.shape),
      ],
      axis=-1,
    )
    weights = masked_softmax(scores, mask).astype(x.dtype)
    p = prompt_mask.shape[1]
    attended = jnp.einsum("bkhgsp,bphd->bkshgd", weights[..., :p], prompt[1])
    attended += jnp.einsum("bkhgst,bkthd->bkshgd", weights[..., p:], values)
    return self.finish(x, attended), (keys, values)


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
    return self.embedding[...][tokens].astype(self.c.dtype)

  def prefill(self, tokens: Int[Array, "B P"], mask: Bool[Array, "B P"]):
    """Hidden states [B, P, M] and the keys and values of left-padded prompts."""
    positions = prompt_positions(mask)

    def one_layer(x, layer):
      return layer.prefill(x, positions, mask)

    x, (keys, values) = nnx.scan(one_layer, in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))(
      self.embed(tokens), self.layers
    )
    return rms_norm(x, self.final_norm[...], self.c.norm_eps), KeysValues(keys, values)

  def extend(
    self,
    tokens: Int[Array, "B K S"],
    prompt: KeysValues,
    prompt_mask,
    past=None,
    index=0,
  ):
    """Hidden states [B, K, S, M] of response tokens index .. index+S-1, and the response's cache.

    `past` is the cache so far, [L, B, K, T, Hkv, D]; None reads a whole response at once.
    Left-padded prompts end at the same column, so a response's token t stands at position (tokens
    of its prompt) + t.
    """
    offsets = index + jnp.arange(tokens.shape[2])
    positions = prompt_mask.sum(axis=1)[:, None, None] + offsets
    positions = jnp.broadcast_to(positions, tokens.shape)

    def one_layer(x, layer, prompt, past):
      return layer.extend(x, positions, prompt, prompt_mask, past, index)

    x, (keys, values) = nnx.scan(one_layer, in_axes=(nnx.Carry, 0, 0, 0), out_axes=(nnx.Carry, 0))(
      self.embed(tokens),
      self.layers,
      (prompt.keys, prompt.values),
      None if past is None else (past.keys, past.values),
    )
    return rms_norm(x, self.final_norm[...], self.c.norm_eps), KeysValues(keys, values)

  def logits(self, hidden: Float[Array, "*n M"]) -> Float[Array, "*n V"]:
    """Float32, whatever the activations are."""
    head = self.embedding[...].T if self.c.tied else self.head[...]
    return jnp.matmul(hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)


def prompt_positions(mask: Bool[Array, "B P"]) -> Int[Array, "B P"]:
  """Left-padded: positions count the tokens that are there, so padding changes nothing."""
  return jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)


# --- functional use -----------------------------------------------------------------------------


def init(config: ModelConfig, key: jax.Array) -> Params:
  """Random parameters, float32. Pure: jit it with `out_shardings` to be born in shards."""
  return nnx.to_pure_dict(nnx.split(Decoder(config, nnx.Rngs(params=key)))[1])


def bind(config: ModelConfig, params: Params) -> Decoder:
  """The network with these parameters: `bind(config, params).prefill(...)`. Pure and free."""
  return nnx.merge(_structure(config), params)


@cache
def _structure(config: ModelConfig) -> nnx.GraphDef:
  return nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0))))[0]


def empty_cache(config: ModelConfig, batch: int, group_size: int, max_tokens: int) -> KeysValues:
  """Room for the keys and values of K responses of T tokens to each of B prompts."""
  shape = (
    config.layers,
    batch,
    group_size,
    max_tokens,
    config.kv_heads,
    config.head_dim,
  )
  return KeysValues(jnp.zeros(shape, config.dtype), jnp.zeros(shape, config.dtype))
