"""From rewards to advantages: how good a response is next to the others of its group.

All take rewards [B, K] and return [B, K], in the units of the reward (or of its spread).
"""

import jax.numpy as jnp

from algorithms.shapes import Count, PerResponse, Scalar


def centered(rewards: PerResponse) -> PerResponse:
  """r_i - mean_j r_j (Dr. GRPO, Liu et al., 2025). Exactly 0 in a group of equal rewards."""
  tied = rewards.max(axis=1, keepdims=True) == rewards.min(axis=1, keepdims=True)
  # Without the `where`, the rounding of the mean would leave 1e-8, which group_relative then
  # divides by its own spread.
  return jnp.where(tied, 0.0, rewards - rewards.mean(axis=1, keepdims=True))


def group_relative(rewards: PerResponse, *, ddof: Count = 0, eps: Scalar = 1e-4) -> PerResponse:
  """(r_i - mean_j r_j) / (std_j r_j + eps) (GRPO: Shao et al., 2024, section 4.1.2).

  ddof=0 divides the variance by K, so that K=2 with rewards (1, 0) gives (1, -1); ddof=1, common in
  trainers, divides by K-1 and gives (0.707, -0.707).
  """
  deviations = centered(rewards)
  variance = (deviations**2).sum(axis=1, keepdims=True) / (rewards.shape[1] - ddof)
  return deviations / (jnp.sqrt(variance) + eps)


def leave_one_out(rewards: PerResponse) -> PerResponse:
  """r_i - mean_{j != i} r_j = K / (K-1) (r_i - mean_j r_j) (RLOO: Ahmadian et al., 2024, eq. 8).

  Unlike `centered`, whose expected gradient is (1 - 1/K) of the true one, this is unbiased.
  """
  k = rewards.shape[1]
  return centered(rewards) * (k / (k - 1))
