"""Attention in groups: responses attend to their prompt, which is held once, and to themselves.

Everything is heads-first: H key heads, each shared by G query heads of width D; B prompts with K
responses of S tokens. Keys lie transposed, tokens last. Products are then plain batched matrix
products, with nothing to transpose.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

LOWEST = float(jnp.finfo(jnp.float32).min)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeysValues:
  """What tokens are attended by, for J sets of T tokens: a prompt's one, its responses' K."""

  keys: Float[Array, "*layers B H J D T"]
  values: Float[Array, "*layers B H J T D"]


@dataclasses.dataclass(frozen=True)
class Attended:
  """Tokens that queries may attend to: J = 1, one set for all K responses, or J = K, one each."""

  seen: KeysValues
  mask: Bool[Array, "*broadcast T"]  # which of them, broadcast to [B, H, K, S, G, T]


def attend(
  queries: Float[Array, "B H K S G D"], parts: Sequence[Attended], implementation: str = "plain"
) -> Float[Array, "B K S HGD"]:
  """Softmax attention over all parts together; queries are scaled already.

  Args:
    implementation: "plain": two matrix products a part, softmax in float32. "xla", "cudnn":
      `jax.nn.dot_product_attention`, which wants the parts in one and prompts once a response;
      cuDNN's never holds the scores. "auto": cuDNN's where there is one, else plain.
  """
  if implementation == "auto":
    s, d = queries.shape[3], queries.shape[-1]
    fits = queries.dtype == jnp.bfloat16 and s > 1 and d % 8 == 0 and d <= 128
    implementation = "cudnn" if fits and jax.default_backend() == "gpu" else "plain"
  attended = (
    _plain(queries, parts) if implementation == "plain" else _fused(queries, parts, implementation)
  )
  b, h, k, s, g, d = queries.shape
  return attended.transpose(0, 2, 3, 1, 4, 5).reshape(b, k, s, h * g * d)


def _plain(queries, parts):
  scores = [_scores(queries, part) for part in parts]
  highest = jnp.stack([x.max(axis=-1) for x in scores]).max(axis=0)[..., None]
  weights = [jnp.exp(x - jax.lax.stop_gradient(highest)) for x in scores]
  total = jnp.stack([w.sum(axis=-1) for w in weights]).sum(axis=0)[..., None]
  mixed = [_mix(w.astype(queries.dtype), part) for w, part in zip(weights, parts, strict=True)]
  return (sum(mixed[1:], mixed[0]) / total).astype(queries.dtype)


def _scores(queries, part: Attended):
  """[B, H, K, S, G, T], float32. Where nothing may be attended to, all are alike: garbage."""
  b, h, k, s, g, d = queries.shape
  j, _, t = part.seen.keys.shape[2:]
  by_set = queries.reshape(b, h, j, k // j * s, g, d)
  scores = jnp.einsum(
    "bhjsgd,bhjdt->bhjsgt", by_set, part.seen.keys, preferred_element_type=jnp.float32
  )
  return jnp.where(part.mask, scores.reshape(b, h, k, s, g, t), LOWEST)


def _mix(weights, part: Attended):
  b, h, k, s, g, t = weights.shape
  j, d = part.seen.values.shape[2], part.seen.values.shape[-1]
  by_set = weights.reshape(b, h, j, k // j * s, g, t)
  mixed = jnp.einsum(
    "bhjsgt,bhjtd->bhjsgd", by_set, part.seen.values, preferred_element_type=jnp.float32
  )
  return mixed.reshape(b, h, k, s, g, d)


def _fused(queries, parts, implementation: str):
  b, h, k, s, g, d = queries.shape

  def joined(arrays):  # of [B, H, J, T, D]; gives [B * K, all T, H, D]
    each = [jnp.broadcast_to(x, (b, h, k, *x.shape[3:])) for x in arrays]
    return jnp.concatenate(each, axis=3).transpose(0, 2, 3, 1, 4).reshape(b * k, -1, h, d)

  def mask_of(part: Attended):  # [B * K, 1, S, T]
    t = part.seen.keys.shape[-1]
    mask = jnp.broadcast_to(part.mask, (b, 1, k, s, 1, t))
    return mask[:, 0, :, :, 0].reshape(b * k, 1, s, t)

  def even(x, axis, value=0):  # cuDNN has a gradient for even lengths only
    more = [(0, x.shape[axis] % 2 if i == axis else 0) for i in range(x.ndim)]
    return jnp.pad(x, more, constant_values=value)

  mask = jnp.concatenate([mask_of(part) for part in parts], axis=-1)
  attended = jax.nn.dot_product_attention(  # pyrefly: ignore[no-matching-overload]
    even(queries.transpose(0, 2, 3, 1, 4, 5).reshape(b * k, s, h * g, d), 1),
    even(joined([part.seen.keys.swapaxes(-1, -2) for part in parts]), 1),
    even(joined([part.seen.values for part in parts]), 1),
    mask=even(even(mask, 2, value=True), 3, value=False),
    scale=1.0,
    implementation=implementation,
  )
  return attended[:, :s].reshape(b, k, s, h, g, d).transpose(0, 3, 1, 2, 4, 5)


# --- rotary positions -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Llama3Rope:
  """How Llama 3.1 stretches rotary wavelengths: the long ones by `factor`, the short ones not."""

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_position_embeddings: int

  def __call__(self, frequencies: Float[Array, " n"]) -> Float[Array, " n"]:
    """All of it below low_freq_factor turns in the original context, none above high_..."""
    turns = self.original_max_position_embeddings * frequencies / (2 * jnp.pi)
    span = self.high_freq_factor - self.low_freq_factor
    kept = jnp.clip((turns - self.low_freq_factor) / span, 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / self.factor)


def rotary_turns(
  positions: Int[Array, "*n"], head_dim: int, theta: float, scaling: Llama3Rope | None
) -> Float[Array, "*n 2 half"]:
  """Cosines and sines of the angles by which each pair of a head's dimensions is turned.

  To be computed once, for all layers (Su et al., 2021).
  """
  half = head_dim // 2
  frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  if scaling is not None:
    frequencies = scaling(frequencies)
  angles = positions[..., None] * frequencies
  return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-2)


def rotate(x: Float[Array, "*n D"], turns: Float[Array, "*m 2 half"]) -> Float[Array, "*n D"]:
  """Rotary position embedding in Llama's half layout: pairs are (i, i + D/2)."""
  cos, sin = turns[..., 0, :].astype(x.dtype), turns[..., 1, :].astype(x.dtype)
  x1, x2 = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)
