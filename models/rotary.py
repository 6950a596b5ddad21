"""Rotary positions (Su et al., 2021), and how they are stretched to a longer context.

A head's dimensions are turned in pairs, (i, i + D/2), pair i by theta^(-2i/D) radians a token. To
read further than they were trained, models turn the slow pairs more slowly still. Each way of doing
so is a class here, with the numbers that config.json gives it.
"""

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True)
class LinearRope:
  """Divides every frequency by `factor` (Gemma 3): a position counts 1 / factor of one."""

  factor: float
  rope_type: str = "linear"
  attention_factor: ClassVar = 1.0

  def __call__(self, frequencies: Float[Array, " half"], theta: float) -> Float[Array, " half"]:
    return frequencies / self.factor


@dataclasses.dataclass(frozen=True)
class Llama3Rope:
  """Llama 3.1's: divides slow frequencies by `factor`, fast ones not at all, others in between.

  Slow are those of at most low_freq_factor turns within the original context, fast those of at
  least high_freq_factor.
  """

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_position_embeddings: int
  rope_type: str = "llama3"
  attention_factor: ClassVar = 1.0

  def __call__(self, frequencies: Float[Array, " half"], theta: float) -> Float[Array, " half"]:
    turns = self.original_max_position_embeddings * frequencies / (2 * jnp.pi)
    span = self.high_freq_factor - self.low_freq_factor
    kept = jnp.clip((turns - self.low_freq_factor) / span, 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / self.factor)


@dataclasses.dataclass(frozen=True)
class YarnRope:
  """YaRN (Peng et al., 2023; Olmo 3): as Llama 3.1's, with a ramp over pairs, not frequencies.

  Cosines and sines count `attention_factor` times, which makes the softmax sharper.
  """

  factor: float
  beta_fast: float  # turns within the original context from which on a frequency is kept
  beta_slow: float  # turns up to which it is divided by `factor`
  original_max_position_embeddings: int
  attention_factor: float
  rope_type: str = "yarn"

  def __call__(self, frequencies: Float[Array, " half"], theta: float) -> Float[Array, " half"]:
    half, context = len(frequencies), self.original_max_position_embeddings

    def pair(turns: float) -> float:  # the pair that turns so often within the original context
      return half * math.log(context / (2 * math.pi * turns)) / math.log(theta)

    first = max(math.floor(pair(self.beta_fast)), 0)
    last = min(math.ceil(pair(self.beta_slow)), 2 * half - 1)
    slow = jnp.clip((jnp.arange(half) - first) / max(last - first, 1e-3), 0.0, 1.0)
    return frequencies * (1 - slow + slow / self.factor)


RopeScaling = LinearRope | Llama3Rope | YarnRope
SCALINGS = {kind.rope_type: kind for kind in (LinearRope, Llama3Rope, YarnRope)}


def rotary_turns(
  positions: Int[Array, "*n"], head_dim: int, theta: float, scaling: RopeScaling | None
) -> Float[Array, "*n 2 half"]:
  """The cosine and sine of the angle by which each pair of a head's dimensions is turned.

  To be computed once, for all layers that share theta and scaling.
  """
  half = head_dim // 2
  frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  if scaling is not None:
    frequencies = scaling(frequencies, theta)
  angles = positions[..., None] * frequencies
  turns = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-2)
  if scaling is not None and scaling.attention_factor != 1.0:
    turns = turns * scaling.attention_factor
  return turns


def rotate(x: Float[Array, "*n D"], turns: Float[Array, "*m 2 half"]) -> Float[Array, "*n D"]:
  """Turns each pair (i, i + D/2), Llama's half layout."""
  cos, sin = turns[..., 0, :].astype(x.dtype), turns[..., 1, :].astype(x.dtype)
  x1, x2 = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)
