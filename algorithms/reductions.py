"""From numbers a token to one a response, and to one a batch, over the tokens that count.

The means differ in how much a long response weighs. Padding may hold anything, NaN included: it is
replaced before it is summed.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.shapes import Mask, PerResponse, PerToken, Scalar

# --- one number a response ----------------------------------------------------------------------


def sequence_sum(x: PerToken, mask: Mask) -> PerResponse:
  """sum_t m_it x_it: with log-probs, the log-prob of the response. A row without tokens gives 0."""
  return jnp.where(mask, x, 0.0).sum(axis=-1)  # not m * x: 0 * inf at a padded token would be NaN


def lengths(mask: Mask) -> PerResponse:
  """n_i = sum_t m_it, and 1 for a row without tokens, so that it can divide."""
  return jnp.maximum(mask.sum(axis=-1), 1).astype(jnp.float32)


# --- one number a batch -------------------------------------------------------------------------


def sequence_mean(x: PerToken, mask: Mask) -> Float[Array, ""]:
  """mean_i (sum_t m_it x_it / n_i) over all B*K rows; a row without tokens counts 0 (GRPO)."""
  return (sequence_sum(x, mask) / lengths(mask)).mean()


def token_mean(x: PerToken, mask: Mask) -> Float[Array, ""]:
  """sum m x / sum m: every token weighs the same, so long responses weigh more (DAPO)."""
  return jnp.where(mask, x, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def share_of_tokens(condition: Mask, mask: Mask) -> Float[Array, ""]:
  """The share of the tokens that count at which the condition holds."""
  return token_mean(condition.astype(jnp.float32), mask)


def constant_mean(x: PerToken, mask: Mask, max_tokens: Scalar) -> Float[Array, ""]:
  """sum m x / (B K max_tokens): a sum over tokens that no length divides (Dr. GRPO)."""
  return jnp.where(mask, x, 0.0).sum() / (mask.shape[0] * mask.shape[1] * max_tokens)
