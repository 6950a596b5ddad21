"""From rewards to advantages: how good a response is next to the others of its group.

Rewards [B, K] in, advantages [B, K] out, in the units of the reward (or of its spread). A reward
that is NaN means that the response could not be scored: it is left out of the group's statistics
and its advantage is 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.shapes import (
  Ddof,
  Fraction,
  Mask,
  PerResponse,
  PerReward,
  PerToken,
  Scalar,
)


def centered(rewards: PerResponse) -> PerResponse:
  """r_i - mean_j r_j (Dr. GRPO, Liu et al., 2025). Exactly 0 in a group of equal rewards."""
  scored = is_scored(rewards)
  highest = jnp.where(scored, rewards, -jnp.inf).max(axis=1, keepdims=True)
  lowest = jnp.where(scored, rewards, jnp.inf).min(axis=1, keepdims=True)
  mean = jnp.where(scored, rewards, 0.0).sum(axis=1, keepdims=True) / scored_count(rewards)
  # Without `highest > lowest`, the rounding of the mean would leave 1e-8 in a tied group, which
  # group_relative then divides by its own spread.
  return jnp.where(scored & (highest > lowest), rewards - mean, 0.0)


def group_relative(rewards: PerResponse, *, ddof: Ddof = 0, eps: Scalar = 1e-4) -> PerResponse:
  """(r_i - mean_j r_j) / (std_j r_j + eps) (GRPO: Shao et al., 2024, section 4.1.2).

  ddof=0 divides the variance by K, so that K=2 with rewards (1, 0) gives (1, -1); ddof=1, common in
  trainers, divides by K-1 and gives (0.707, -0.707).
  """
  deviations = centered(rewards)
  degrees = jnp.maximum(scored_count(rewards) - ddof, 1)  # one response alone deviates by 0 anyway
  variance = (deviations**2).sum(axis=1, keepdims=True) / degrees
  return deviations / (jnp.sqrt(variance) + eps)


def batch_relative(rewards: PerResponse, *, ddof: Ddof = 0, eps: Scalar = 1e-4) -> PerResponse:
  """(r_i - mean_j r_j) / (std of all rewards of the batch + eps) (Lite PPO: Liu et al., 2025).

  Tied groups still get 0, but no group is amplified for being nearly tied. (REINFORCE++ with
  baseline, Hu et al., 2025, divides by the std of the *centered* rewards of the batch.)
  """
  scored = is_scored(rewards)
  squares = jnp.where(scored, (rewards - batch_mean(rewards)) ** 2, 0.0).sum()
  return centered(rewards) / (jnp.sqrt(squares / jnp.maximum(scored.sum() - ddof, 1)) + eps)


def leave_one_out(rewards: PerResponse) -> PerResponse:
  """r_i - mean_{j != i} r_j = K / (K-1) (r_i - mean_j r_j) (RLOO: Ahmadian et al., 2024, eq. 8).

  Unlike `centered`, whose expected gradient is (1 - 1/K) of the true one, this is unbiased.
  """
  k = scored_count(rewards)
  return centered(rewards) * (k / jnp.maximum(k - 1, 1))


def per_reward(parts: PerReward, *, ddof: Ddof = 0, eps: Scalar = 1e-4) -> PerResponse:
  """Each reward normalised in its group by itself, summed, and the sum whitened over the batch.

    A_i = sum_n (r_in - mean_j r_jn) / (std_j r_jn + eps)        n: the rewards
    A_i / (std of A over the batch + eps)                        its mean is 0 already

  GDPO (Liu et al., 2026, eq. 4-6): a sum of rewards that is normalised once maps different mixes to
  the same advantage; this keeps them apart. A reward that is NaN is left out of the sum; a response
  whose rewards are all NaN is unscored. ddof is of both standard deviations (TRL's is 1).
  """
  relative = jax.vmap(lambda r: group_relative(r, ddof=ddof, eps=eps), in_axes=2, out_axes=2)
  total = relative(parts).sum(axis=2)  # 0 where unscored
  count = (~jnp.isnan(parts)).any(axis=2).sum()
  return total / (jnp.sqrt((total**2).sum() / jnp.maximum(count - ddof, 1)) + eps)


def generalized_advantages(
  rewards: PerToken, values: PerToken, mask: Mask, gamma: Fraction, gae_lambda: Fraction
) -> PerToken:
  """Generalized advantage estimation (Schulman et al., 2016, eq. 16), 0 at padding.

    delta_t = r_t + gamma V_{t+1} - V_t        V = 0 after the last token: the episode is over
    A_t     = delta_t + gamma lambda A_{t+1}

  The values are those *before* each token was chosen; A_t + V_t is the return that V_t should have
  been. Responses are right-padded.
  """
  rewards, values = jnp.where(mask, rewards, 0.0), jnp.where(mask, values, 0.0)
  next_values = jnp.pad(values[..., 1:], ((0, 0), (0, 0), (0, 1)))
  deltas = rewards + gamma * next_values - values

  def backwards(later, delta):
    advantage = delta + gamma * gae_lambda * later
    return advantage, advantage

  time_first = jnp.moveaxis(deltas, -1, 0)
  _, advantages = jax.lax.scan(backwards, jnp.zeros_like(time_first[0]), time_first, reverse=True)
  return jnp.where(mask, jnp.moveaxis(advantages, 0, -1), 0.0)


def whiten(x: PerToken, mask: Mask, *, eps: Scalar = 1e-8) -> PerToken:
  """(x - mean) / sqrt(variance + eps) over the batch's tokens that count, 0 at the others."""
  count = jnp.maximum(mask.sum(), 1)
  mean = jnp.where(mask, x, 0.0).sum() / count
  variance = jnp.where(mask, (x - mean) ** 2, 0.0).sum() / count
  return jnp.where(mask, (x - mean) * jax.lax.rsqrt(variance + eps), 0.0)


def is_scored(rewards: PerResponse) -> jax.Array:
  """bool [B, K]: NaN says that a response has no reward."""
  return ~jnp.isnan(rewards)


def batch_mean(rewards: PerResponse) -> Float[Array, ""]:
  """The mean of the batch's scored rewards."""
  scored = is_scored(rewards)
  return jnp.where(scored, rewards, 0.0).sum() / jnp.maximum(scored.sum(), 1)


def scored_count(rewards: PerResponse) -> jax.Array:
  """The number of scored responses of each group, [B, 1], and 1 where there is none."""
  return jnp.maximum(is_scored(rewards).sum(axis=1, keepdims=True), 1)
