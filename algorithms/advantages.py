"""From rewards to advantages: how good a response is next to the others of its group.

Rewards [B, K] in, advantages [B, K] out, in the units of the reward (or of its spread). A reward
that is NaN means that the response could not be scored: it is left out of the group's statistics
and its advantage is 0.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from algorithms.shapes import (
  Count,
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
  mean = _group_sum(rewards) / scored_count(rewards)
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


def mean_relative(rewards: PerResponse) -> PerResponse:
  """(r_i - mean_j r_j) / mean_j r_j, and 0 where the mean is not above 0 (MaxRL: Tajwar et al.,
  2026, algorithm 1). For rewards of 0 and more."""
  mean = _group_sum(rewards) / scored_count(rewards)
  return jnp.where(mean > 0, centered(rewards) / jnp.where(mean > 0, mean, 1.0), 0.0)


def length_weighted(rewards: PerResponse, lengths: PerResponse) -> PerResponse:
  """r_i - sum_j n_j r_j / sum_j n_j: the baseline of least variance if the squared norm of a
  response's gradient grows with its length n (OPO: Hao et al., 2025, arXiv:2505.23585)."""
  deviations, n = centered(rewards), jnp.where(is_scored(rewards), lengths, 0.0)
  total = jnp.maximum(n.sum(axis=1, keepdims=True), 1)
  baseline = (n * deviations).sum(axis=1, keepdims=True) / total
  return jnp.where(is_scored(rewards), deviations - baseline, 0.0)


def best_of_k_gain(rewards: PerResponse, k: Count) -> PerResponse:
  """k mean over S of max(r_i - max_{j in S} r_j, 0), S the sets of k - 1 others (PKPO: Walder and
  Karkhanis, 2025, arXiv:2505.15201). 0 in a group of fewer than k scored responses.

  With the rewards sorted, each gap r_(j+1) - r_(j) counts for the responses above it, as often as
  all of S is among the j below: C(j, k-1) / C(K-1, k-1).
  """
  n = scored_count(rewards)
  ascending = jnp.sort(jnp.where(is_scored(rewards), rewards, jnp.inf), axis=1)
  below = jnp.arange(1, rewards.shape[1])  # [K - 1]: the responses below each gap
  gaps = jnp.where(below < n, ascending[:, 1:] - ascending[:, :-1], 0.0)
  share = jnp.exp(_log_choose(below, k - 1) - _log_choose(n - 1, k - 1))
  weighted = jnp.where((below >= k - 1) & (n >= k), gaps * share, 0.0)
  counts = rewards[:, :, None] >= ascending[:, None, 1:]  # [B, K, K - 1]; False where unscored
  return k * jnp.where(counts, weighted[:, None, :], 0.0).sum(axis=2)


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


def _group_sum(rewards: PerResponse) -> Float[Array, "B 1"]:
  return jnp.where(is_scored(rewards), rewards, 0.0).sum(axis=1, keepdims=True)


def _log_choose(n: jax.Array, k: Count) -> jax.Array:
  """log C(n, k), which means something for n >= k."""
  return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(jnp.maximum(n - k, 0.0) + 1.0)
