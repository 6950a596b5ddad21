"""How a token is drawn: `Sampler`, and drawing from logits."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 64  # tokens whose probabilities are added up first, see `draw`


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How to decode. Hashable: compiled functions are cached by it (temperature is an argument)."""

  max_tokens: int
  eos_ids: tuple[int, ...]  # each ends a response
  pad_id: int
  group_size: int = 1
  greedy: bool = False  # the likeliest token each time
  top_k: int = 0  # draw from the k likeliest tokens only; 0: from all
  prompts_at_once: int = 0  # decoded together; 0: all. Fewer take less memory and draw the same
  top_p: float = 1.0  # draw from the likeliest tokens that hold this much probability; 1: from all

  @property
  def is_restricted(self) -> bool:
    """Whether what is drawn is not of the whole distribution."""
    return self.top_k > 0 or self.top_p < 1


class OfRows(NamedTuple):
  """The numbers by which each row is drawn, where the rows of a batch come from several people."""

  temperature: Any  # float32 [B]; 0: the likeliest token each time, scored at temperature 1
  top_p: Any = None  # float32 [B], beside that of the `Sampler`; None: 1 for all

  def choose(
    self, logits: Float[Array, "B K V"], uniform: Float[Array, "B K"]
  ) -> tuple[Int[Array, "B K"], Float[Array, "B K V"], Float[Array, "B K V"]]:
    """The tokens, the logits over their temperatures, and of these the ones drawn from."""
    warm = (self.temperature > 0)[:, None, None]
    scaled = logits / jnp.where(warm, self.temperature[:, None, None], 1.0)
    drawn_from = scaled
    if self.top_p is not None:
      top_p = jnp.where(self.top_p < 1, self.top_p, jnp.inf)  # sums of all may round to 1 early
      drawn_from = nucleus(scaled, top_p[:, None, None])
    token = jnp.where(warm[..., 0], draw(drawn_from, uniform), jnp.argmax(scaled, axis=-1))
    return token, scaled, drawn_from


def draw(logits: Float[Array, "*n V"], uniform: Float[Array, "*n"]) -> Int[Array, "*n"]:
  """Tokens from softmax(logits), by inverting its distribution function at `uniform` in [0, 1).

  One random number a token instead of Gumbel's one a vocabulary entry (20 times faster on a CPU):
  the block of BLOCK entries first, then the entry in it. Entries at -inf are never drawn.
  """
  p = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
  padding = [(0, 0)] * (p.ndim - 1) + [(0, -p.shape[-1] % BLOCK)]
  blocks = jnp.pad(p, padding).reshape(*p.shape[:-1], -1, BLOCK)
  upto = jnp.cumsum(blocks.sum(axis=-1), axis=-1)
  target = _below(uniform * upto[..., -1], upto[..., -1])
  block = (upto <= target[..., None]).sum(axis=-1)
  before = jnp.take_along_axis(upto, jnp.maximum(block - 1, 0)[..., None], axis=-1)[..., 0]
  inside = jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :]
  within = jnp.cumsum(inside, axis=-1)
  target = _below(target - jnp.where(block > 0, before, 0.0), within[..., -1])
  return block * BLOCK + (within <= target[..., None]).sum(axis=-1)


def _below(x, limit):
  """x, or if rounding brought it up to the limit, the float before that."""
  return jnp.minimum(x, jnp.nextafter(limit, 0.0))


def restrict(logits: Float[Array, "*n V"], sampler: Sampler) -> Float[Array, "*n V"]:
  """-inf for tokens outside the top k, then outside the smallest set holding top_p of the rest."""
  if sampler.top_k:
    least = jax.lax.top_k(logits, min(sampler.top_k, logits.shape[-1]))[0][..., -1:]
    logits = jnp.where(logits >= least, logits, -jnp.inf)
  return nucleus(logits, sampler.top_p) if sampler.top_p < 1 else logits


def nucleus(
  logits: Float[Array, "*n V"], top_p: float | Float[Array, "*m 1"]
) -> Float[Array, "*n V"]:
  """-inf for tokens outside the smallest set that holds this much probability."""
  descending = -jnp.sort(-jax.nn.log_softmax(logits, axis=-1), axis=-1)
  mass_before = jnp.cumsum(jnp.exp(descending), axis=-1) - jnp.exp(descending)
  kept = jnp.where(mass_before < top_p, descending, jnp.inf)
  least = kept.min(axis=-1, keepdims=True)
  return jnp.where(jax.nn.log_softmax(logits, axis=-1) >= least, logits, -jnp.inf)
