"""A decoder of the Llama / Qwen / SmolLM / Mistral shape: RMSNorm, RoPE, GQA, SwiGLU.

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
class Llama3Rope:
  """How Llama 3.1 stretches rotary wavelengths: the long ones by `factor`, the short ones not."""

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_position_embeddings: int

  def __call__(self, frequencies: Float[Array, " n"]) -> Float[Array, " n"]:
    """Full stretch below low_freq_factor turns over the original context, none above high_..."""
    turns = self.original_max_position_embeddings * frequencies / (2 * jnp.pi)
    span = self.high_freq_factor - self.low_freq_factor
    kept = jnp.clip((turns - self.low_freq_factor) / span, 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / self.factor)


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
  remat: str = "none"  # what the backward pass computes again, see REMAT
  lora_rank: int = 0  # of the adapters on every linear layer; 0: none
  lora_alpha: float = 16.0  # they count lora_alpha / lora_rank times


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeysValues:
  """Keys and values of every layer. The axes before the heads are those of the tokens."""

  keys: Float[Array, "L *tokens Hkv D"]
  values: Float[Array, "L *tokens Hkv D"]


# What the backward pass keeps of a layer; all else it computes again.
REMAT = {
  "none": None,  # keep everything: fastest, and the most memory
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


def rotary_angles(c: ModelConfig, positions: Int[Array, "*n S"]) -> Float[Array, "*n S 1 half"]:
  """What each pair of a head's dimensions is turned by at these positions (Su et al., 2021)."""
  half = c.head_dim // 2
  frequencies = c.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  if c.rope_scaling is not None:
    frequencies = c.rope_scaling(frequencies)
  return positions[..., None, None] * frequencies


def rotate(x: Float[Array, "*n S H D"], angles: Float[Array, "*n S 1 half"]):
  """Rotary position embedding in Llama's half layout: pairs are (i, i + D/2)."""
  cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
  x1, x2 = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)


def masked_softmax(scores, mask):
  """Softmax over the last axis in float32. A row that may attend to nothing gives garbage."""
  scores = jnp.where(mask, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)
  return jax.nn.softmax(scores, axis=-1)


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

    y = x @ weight()
    if hasattr(self, name + "_bias"):
      y = y + weight("_bias")
    if self.c.lora_rank:
      y = y + (x @ weight("_a")) @ weight("_b") * (self.c.lora_alpha / self.c.lora_rank)
    return y

  def project(self, x: Float[Array, "*n S M"], angles):
    """Queries [*n, S, Hkv, G, D] (G heads share a key head), keys and values [*n, S, Hkv, D]."""
    c = self.c
    x = rms_norm(x, self.attention_norm[...], c.norm_eps)
    q, k, v = (
      self.linear(name, x).reshape(*x.shape[:-1], -1, c.head_dim)
      for name in ("query", "key", "value")
    )
    if c.qk_norm:
      q = rms_norm(q, self.query_norm[...], c.norm_eps)
      k = rms_norm(k, self.key_norm[...], c.norm_eps)
    q, k = rotate(q, angles) * c.head_dim**-0.5, rotate(k, angles)
    return q.reshape(*x.shape[:-1], c.kv_heads, -1, c.head_dim), k, v

  def finish(self, x, attended):
    """The output projection and the feed-forward block, both residual."""
    x = x + self.linear("output", attended.reshape(*x.shape[:-1], -1))
    h = rms_norm(x, self.ff_norm[...], self.c.norm_eps)
    return x + self.linear("down", jax.nn.silu(self.linear("gate", h)) * self.linear("up", h))

  def prefill(self, x: Float[Array, "B P M"], angles, mask: Bool[Array, "B P"]):
    """Causal attention within each prompt."""
    q, k, v = self.project(x, angles)
    causal = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
    scores = jnp.einsum("bqhgd,bphd->bhgqp", q, k)
    weights = masked_softmax(scores, causal & mask[:, None, None, None, :]).astype(x.dtype)
    return self.finish(x, jnp.einsum("bhgqp,bphd->bqhgd", weights, v)), (k, v)

  def extend(self, x: Float[Array, "B K S M"], angles, prompt, prompt_mask, past, index):
    """S tokens of each response attend to their prompt and to the response so far.

    `past`: keys and values [B, K, T, Hkv, D] of the response; the S new ones go in at `index`.
    None when the S tokens are the whole response.
    """
    q, keys, values = self.project(x, angles)
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

  def rematerialized(self, one_layer):
    """`one_layer`, keeping for the backward pass what the config's policy keeps."""
    policy = REMAT[self.c.remat]
    return one_layer if policy is None else nnx.remat(one_layer, policy=policy)

  def prefill(self, tokens: Int[Array, "B P"], mask: Bool[Array, "B P"]):
    """Hidden states [B, P, M] and the keys and values of left-padded prompts."""
    angles = rotary_angles(self.c, prompt_positions(mask))

    @self.rematerialized
    def one_layer(x, layer):
      return layer.prefill(x, angles, mask)

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
    angles = rotary_angles(self.c, jnp.broadcast_to(positions, tokens.shape))

    @self.rematerialized
    def one_layer(x, layer, prompt, past):
      return layer.extend(x, angles, prompt, prompt_mask, past, index)

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
