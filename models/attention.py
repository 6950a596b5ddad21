"""Attention in groups: responses attend to their prompt, which is held once, and to themselves.

Everything is heads-first: H key heads, each shared by G query heads of width D; B prompts with K
responses of S tokens. Keys lie transposed, tokens last. Products are then plain batched matrix
products, with nothing to transpose.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from models.partitioning import platform

LOWEST = float(jnp.finfo(jnp.float32).min)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeysValues:
  """Keys and values of J sets of T tokens: a prompt is one set, its responses are K."""

  keys: Float[Array, "*layers B H J D T"]
  values: Float[Array, "*layers B H J T D"]


@dataclasses.dataclass(frozen=True)
class Attended:
  """Tokens that queries may attend to: J = 1, one set for all K responses, or J = K, one each."""

  seen: KeysValues
  mask: Bool[Array, "*broadcast T"]  # which of them, broadcast to [B, H, K, S, G, T]


def in_window(
  mask: Bool[Array, "*m"],
  query_at: Array | np.ndarray,
  key_at: Array | np.ndarray,
  window: Int[Array, ""] | None,
) -> Bool[Array, "*n"]:
  """`mask` without the keys that lie `window` tokens or more before the query.

  Args:
    query_at, key_at: columns, broadcast against each other and the mask. The first response token
      is at 0 and its prompt's last at -1, so that padding on the left changes no distance.
    window: 0 hides nothing, a layer that sees all among layers with windows. None, in a model
      without windows: the mask as it is.
  """
  if window is None:
    return mask
  return mask & ((query_at - key_at < window) | (window == 0))


def attend(
  queries: Float[Array, "B H K S G D"], parts: Sequence[Attended], implementation: str = "plain"
) -> Float[Array, "B K S HGD"]:
  """Softmax attention over all parts together; queries are scaled already.

  Args:
    implementation: "plain": two matrix products a part, softmax in float32. "xla", "cudnn":
      `jax.nn.dot_product_attention`, which wants the parts in one and prompts once a response;
      cuDNN's never holds the scores. "auto": cuDNN's where there is one, else plain. "splash",
      which is for whole rows (`has_kernel`), is plain here.
  """
  if implementation == "auto":
    s, d = queries.shape[3], queries.shape[-1]
    fits = queries.dtype == jnp.bfloat16 and s > 1 and d % 8 == 0 and d <= 128
    implementation = "cudnn" if fits and platform() == "gpu" else "plain"
  is_plain = implementation in ("plain", "splash")
  attended = _plain(queries, parts) if is_plain else _fused(queries, parts, implementation)
  b, h, k, s, g, d = queries.shape
  return attended.transpose(0, 2, 3, 1, 4, 5).reshape(b, k, s, h * g * d)


def has_kernel(implementation: str, head_dim: int, length: int = 128) -> bool:
  """Whether rows are attended to in a kernel that never holds the scores: splash attention.

  Args:
    implementation: "splash", and "auto" on a TPU, where the kernel can have these shapes.
    length: of the rows; that of whole groups does not matter.
  """
  wanted = implementation == "splash" or (implementation == "auto" and platform() == "tpu")
  if not wanted:
    return False
  from models import splash  # Pallas takes a moment

  return not splash.misfit(head_dim, length)


def attend_in_groups(
  queries: Float[Array, "B H 1 N G D"], own: KeysValues, prompt_mask: Bool[Array, "B P"], k: int
) -> Float[Array, "B N HGD"]:
  """In rows of a prompt and k responses, N = P + k S, in a kernel; queries are scaled already."""
  from models import splash

  keys, values = own.keys[:, :, 0].swapaxes(-1, -2), own.values[:, :, 0]
  interpret = platform() != "tpu"
  attended = splash.attend_in_groups(
    queries[:, :, 0], keys, values, prompt_mask, k, interpret=interpret
  )
  return _heads_last(attended)


def attend_in_rows(
  queries: Float[Array, "R H 1 L G D"],
  own: KeysValues,
  sees: Bool[Array, "R L L"],
  implementation: str = "plain",
) -> Float[Array, "R L HGD"]:
  """Softmax attention within rows of L tokens, `sees` saying of which; queries are scaled already.

  Args:
    implementation: as `attend` and `has_kernel` have it.
  """
  if has_kernel(implementation, queries.shape[-1], queries.shape[3]):
    from models import splash

    keys, values = own.keys[:, :, 0].swapaxes(-1, -2), own.values[:, :, 0]
    interpret = platform() != "tpu"
    return _heads_last(
      splash.attend_in_rows(queries[:, :, 0], keys, values, sees, interpret=interpret)
    )
  return attend(queries, [Attended(own, sees[:, None, None, :, None])], implementation)[:, 0]


def _heads_last(attended: Float[Array, "B H N G D"]) -> Float[Array, "B N HGD"]:
  return attended.transpose(0, 2, 1, 3, 4).reshape(attended.shape[0], attended.shape[2], -1)


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
  scores = einsum_in_float32("bhjsgd,bhjdt->bhjsgt", by_set, part.seen.keys)
  return jnp.where(part.mask, scores.reshape(b, h, k, s, g, t), LOWEST)


def _mix(weights, part: Attended):
  b, h, k, s, g, t = weights.shape
  j, d = part.seen.values.shape[2], part.seen.values.shape[-1]
  by_set = weights.reshape(b, h, j, k // j * s, g, t)
  mixed = einsum_in_float32("bhjsgt,bhjtd->bhjsgd", by_set, part.seen.values)
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


# --- products, of logits too ----------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum_in_float32(equation: str, a: Array, b: Array) -> Float[Array, "..."]:
  """jnp.einsum(equation, a, b), float32 whatever the operands are.

  Its gradient is of products in the operands' dtype, as those of all other products are. Left to
  itself jax multiplies the float32 cotangent with an operand that it casts to float32, and in full:
  of bfloat16 that is six times the work on a TPU, and on a GPU no work for its tensor cores.
  """
  return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _in_float32(equation, a, b):
  return einsum_in_float32(equation, a, b), (a, b)


def _in_float32_backward(equation, operands, cotangent):
  _, pullback = jax.vjp(partial(jnp.einsum, equation), *operands)
  return pullback(cotangent.astype(operands[0].dtype))


einsum_in_float32.defvjp(_in_float32, _in_float32_backward)
