"""The layer of Gemma 3 (Gemma team, 2025): norms before and after, and scales that count from 1."""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.layer import Layer
from models.model_config import ModelConfig


def rms_norm_from_1(x, scale, eps):
  """x / sqrt(mean x^2 + eps) * (1 + scale), all of it in float32."""
  x32 = x.astype(jnp.float32)
  inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * inverse * (1 + scale.astype(jnp.float32))).astype(x.dtype)


class Gemma3Layer(Layer):
  """x + norm(attention(norm(x))), then x + norm(feed_forward(norm(x))), gated by GELU.

  Queries and keys are normed a head at a time.
  """

  rms_norm = staticmethod(rms_norm_from_1)
  first_scale: ClassVar = 0.0
  activation = staticmethod(partial(jax.nn.gelu, approximate=True))

  @staticmethod
  def embedded(c: ModelConfig, x: Float[Array, "*n M"]) -> Float[Array, "*n M"]:
    """Multiplies by sqrt(d_model), rounded to the dtype of x, as when Gemma was trained."""
    return x * jnp.asarray(c.d_model**0.5, x.dtype)

  @staticmethod
  def norms(c: ModelConfig) -> dict[str, int]:
    return Layer.norms(c) | {"attention_post_norm": c.d_model, "ff_post_norm": c.d_model}

  def finish(self, x: Float[Array, "*n M"], attended: Float[Array, "*n HGD"]):
    x = x + self.norm("attention_post_norm", self.linear("output", attended))
    return x + self.norm("ff_post_norm", self.feed_forward(self.norm("ff_norm", x)))
