"""Llama's decoder layer, also Mistral's, Qwen2's, Qwen3's and SmolLM's: `Layer`.

Written for groups: a row is a prompt and its K responses, which attend to that one prompt and to
their own past. Training reads whole rows (`Layer.read`); the sampler reads prompts, whose keys and
values it keeps, and then a token of each response at a time (`Layer.step`).

Other families' layers (`models/blocks/`) are subclasses that differ in `heads` and `finish`, their
norms or their activation; how groups are read is the same for all.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from models.attention import (
  Attended,
  KeysValues,
  attend,
  attend_in_groups,
  attend_in_rows,
  has_kernel,
  in_window,
)
from models.model_config import ModelConfig
from models.rotary import rotate

LINEAR = ("query", "key", "value", "output", "gate", "up", "down")  # of each layer

Window = Int[Array, ""] | None  # of this layer, as `in_window` has it


def rms_norm(x, scale, eps):
  """x / sqrt(mean x^2 + eps) * scale, computed in float32 (Zhang & Sennrich, 2019)."""
  x32 = x.astype(jnp.float32)
  inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * inverse).astype(x.dtype) * scale.astype(x.dtype)


def matmul(x: Float[Array, "*n In"], weight: Float[Array, "In Out"]):
  """x W over flat rows: with more axes, XLA's CPU backend transposes for the weight's gradient."""
  y = x.reshape(-1, x.shape[-1]) @ weight
  return y.reshape(*x.shape[:-1], -1)


class Layer(nnx.Module):
  """One decoder layer. Weights are [in, out]; queries are grouped by the key head they share."""

  rms_norm = staticmethod(rms_norm)  # the decoder's last norm is this too
  first_scale: ClassVar = 1.0  # of its norms
  activation = staticmethod(jax.nn.silu)

  @staticmethod
  def embedded(c: ModelConfig, x: Float[Array, "*n M"]) -> Float[Array, "*n M"]:
    """Rows of the embedding, as the first layer reads them."""
    return x

  @staticmethod
  def norms(c: ModelConfig) -> dict[str, int]:
    """The layer's norms and their widths."""
    widths = {"attention_norm": c.d_model, "ff_norm": c.d_model}
    return widths | ({"query_norm": c.head_dim, "key_norm": c.head_dim} if c.qk_norm else {})

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
    for name, width in self.norms(c).items():
      setattr(self, name, nnx.Param(jnp.full(width, self.first_scale)))

  # --- the equations ------------------------------------------------------------------------------

  def heads(self, x: Float[Array, "B N M"]) -> list[Float[Array, "B N H G D"]]:
    """Queries, keys and values before they are rotated; keys and values have G = 1."""
    x = self.norm("attention_norm", x)
    q, k, v = (self.split(self.linear(name, x)) for name in ("query", "key", "value"))
    if self.c.qk_norm:
      q, k = self.norm("query_norm", q), self.norm("key_norm", k)
    return [q, k, v]

  def finish(self, x: Float[Array, "*n M"], attended: Float[Array, "*n HGD"]):
    """The output projection and the feed-forward block, both residual."""
    x = x + self.linear("output", attended)
    return x + self.feed_forward(self.norm("ff_norm", x))

  def feed_forward(self, x: Float[Array, "*n M"]) -> Float[Array, "*n M"]:
    """down(activation(gate(x)) * up(x)), a gated linear unit (Shazeer, 2020)."""
    return self.linear("down", self.activation(self.linear("gate", x)) * self.linear("up", x))

  def norm(self, name: str, x: Float[Array, "*n D"]) -> Float[Array, "*n D"]:
    """RMSNorm with the scales of this name."""
    return self.rms_norm(x, getattr(self, name)[...], self.c.norm_eps)

  def split(self, x: Float[Array, "B N HGD"]) -> Float[Array, "B N H G D"]:
    """Splits by heads; queries that share a key head lie side by side."""
    return x.reshape(*x.shape[:-1], self.c.kv_heads, -1, self.c.head_dim)

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

  # --- groups -------------------------------------------------------------------------------------

  def read(
    self, x: Float[Array, "B N M"], turns, prompt_mask: Bool[Array, "B P"], k: int, window: Window
  ):
    """A row is a prompt, then its k responses one after the other: N = P + k S.

    Returns x, and the keys and values of the prompts.
    """
    (b, p), projected = prompt_mask.shape, self.project(x, turns, window)
    if window is None and has_kernel(self.c.attention, self.c.head_dim):
      queries, own = heads_first(*(y[:, None] for y in projected))
      prompt = KeysValues(own.keys[..., :p], own.values[..., :p, :])
      return self.finish(x, attend_in_groups(queries, own, prompt_mask, k)), prompt
    attended, prompt = self.within_prompts([y[:, :p] for y in projected], prompt_mask, window)
    if x.shape[1] > p:
      queries, own = heads_first(*(y[:, p:].reshape(b, k, -1, *y.shape[2:]) for y in projected))
      s = queries.shape[3]
      at, prompt_at = np.arange(s), np.arange(-p, 0)
      before = prompt_mask[:, None, None, None, None]
      past = jnp.tril(jnp.ones((s, s), bool))[:, None]
      parts = [
        Attended(prompt, in_window(before, at[:, None, None], prompt_at, window)),
        Attended(own, in_window(past, at[:, None, None], at, window)),
      ]
      others = attend(queries, parts, self.c.attention).reshape(b, k * s, -1)
      attended = jnp.concatenate([attended, others], axis=1)
    return self.finish(x, attended), prompt

  def read_rows(
    self,
    x: Float[Array, "R L M"],
    turns,
    positions: Int[Array, "R L"],
    sees: Bool[Array, "R L L"],
    window: Window,
  ):
    """Rows in which `sees` says which tokens each attends to (`packing.py`)."""
    queries, own = heads_first(*(y[:, None] for y in self.project(x, turns, window)))
    sees = in_window(sees, positions[:, :, None], positions[:, None, :], window)
    return self.finish(x, attend_in_rows(queries, own, sees, self.c.attention))

  def read_last(
    self, x: Float[Array, "B P M"], turns, prompt_mask: Bool[Array, "B P"], window: Window
  ):
    """Reads prompts alone and returns x of their last token only, all that a last layer is for."""
    projected = self.project(x, turns, window)
    attended, prompt = self.within_prompts(projected, prompt_mask, window, since=-1)
    return self.finish(x[:, -1:], attended), prompt

  def step(self, x: Float[Array, "B K M"], turns, prompt, prompt_mask, past, t, window: Window):
    """Token t of each response. Returns x, and `past` with this token's keys and values in it."""
    queries, new = heads_first(*(y[:, :, None] for y in self.project(x, turns, window)))
    prompt_at, past_at = np.arange(-prompt_mask.shape[1], 0), jnp.arange(past.keys.shape[-1])
    before = prompt_mask[:, None, None, None, None]
    parts = [
      Attended(prompt, in_window(before, t, prompt_at, window)),
      Attended(past, in_window(past_at < t, t, past_at, window)),
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

  def within_prompts(
    self, projected, prompt_mask: Bool[Array, "B P"], window: Window, since: int = 0
  ):
    """Attention of prompts' tokens from `since` on, and the keys and values of all of them."""
    queries, prompt = heads_first(*(y[:, None] for y in projected))
    p = prompt_mask.shape[1]
    causal = jnp.tril(jnp.ones((p, p), bool)) & prompt_mask[:, None, :]
    causal = in_window(causal, np.arange(p)[:, None], np.arange(p), window)
    parts = [Attended(prompt, causal[:, None, None, since:, None])]
    return attend(queries[:, :, :, since:], parts, self.c.attention)[:, 0], prompt

  def project(self, x: Float[Array, "B N M"], turns: Sequence[Array], window: Window):
    """Queries [B, N, H, G, D], rotated and scaled; keys [B, N, H, D], rotated; values.

    `turns` are `Decoder.turns`, of which this layer's window chooses.
    """
    q, k, v = self.heads(x)
    here = turns[0] if window is None else jnp.where(window > 0, turns[1], turns[0])
    here = here[:, :, None, None]
    scale = (self.c.query_pre_attn_scalar or self.c.head_dim) ** -0.5
    q, k = rotate(q, here) * scale, rotate(k, here)
    return q, k[:, :, :, 0], v[:, :, :, 0]


def heads_first(
  queries: Float[Array, "B J S H G D"],
  keys: Float[Array, "B J S H D"],
  values: Float[Array, "B J S H D"],
) -> tuple[Float[Array, "B H J S G D"], KeysValues]:
  """Puts heads first, the order of axes that `attention` computes in."""
  seen = KeysValues(keys.transpose(0, 3, 1, 4, 2), values.transpose(0, 3, 1, 2, 4))
  return queries.transpose(0, 3, 1, 2, 4, 5), seen
