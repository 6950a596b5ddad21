"""GRPO that spares the few tokens which make the policy's entropy collapse (Cui et al., 2025).

Entropy falls as log-probs and advantages covary (arXiv:2505.22617), and a few tokens, likely
already and pushed up, make most of that:

  Cov_it = (A_i - mean A) (log pi_theta(y_it) - mean log pi_theta)       means over all tokens

`clip_cov` takes their gradient away, `kl_cov` holds them to where they were.
"""

import jax
import jax.numpy as jnp

from algorithms.advantages import group_relative
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  Advantages,
  clipped_surrogate,
  mean_ratio,
  per_token,
  ratio_metrics,
  token_ratio,
)
from algorithms.reductions import share_of_tokens, token_mean
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  Share,
  UpperClip,
  Weight,
)


@loss_function
def clip_cov(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  share: Share = 0.0002,
  cov_low: Positive = 1.0,
  cov_high: Positive = 5.0,
  ddof: Ddof = 0,
):
  """Clip-Cov (Cui et al., 2025, arXiv:2505.22617): no gradient from some tokens of large Cov.

    M    = the tokens with cov_low < Cov_it < cov_high whose push PPO's clip has not stopped
    w_it = 1 - n / |M| for those of M, n = min(max(share sum_i n_i, 1), |M|); 1 for all others
    loss = -1/(sum_i n_i) sum_it w_it min(rho_it A_i, clip(rho_it, 1-eps_low, 1+eps_high) A_i)

  The paper draws n of M at random and drops them. A loss has no random numbers: here all of M weigh
  what they weigh in that draw on average.

  Args:
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    share: of the batch's tokens that are dropped; at least one is.
    cov_low, cov_high: between which tokens are candidates.
    ddof: of the standard deviation in A, as in `grpo`.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  surrogate = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  stopped = surrogate < ratio * per_token(advantages)
  cov = _covariance(logps, advantages, mask)
  candidates = mask & ~stopped & (cov > cov_low) & (cov < cov_high)
  found = candidates.sum()
  dropped = jnp.minimum(_at_least_one(share, mask), found)
  weights = jnp.where(candidates, 1 - dropped / jnp.maximum(found, 1), 1.0)
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  metrics |= {"clip_cov/candidates": share_of_tokens(candidates, mask)}
  return -token_mean(weights * surrogate, mask), metrics


@loss_function
def kl_cov(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  share: Share = 0.0002,
  kl_weight: Weight = 1.0,
  ddof: Ddof = 0,
):
  """KL-Cov (Cui et al., 2025, arXiv:2505.22617): the tokens of largest Cov are held in place.

    M    = the max(share sum_i n_i, 1) tokens with the largest Cov_it
    loss = -1/(sum_i n_i) sum_it [rho_it A_i - kl_weight 1{it in M} |log rho_it|]

  No clip. |log rho| is what the authors' code has for the paper's KL to pi_old.

  Args:
    share: of the batch's tokens that are held; at least one is.
    kl_weight: how much a nat of log rho costs.
    ddof: of the standard deviation in A, as in `grpo`.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  cov = _covariance(logps, advantages, mask)
  descending = -jnp.sort(-jnp.where(mask, cov, -jnp.inf).ravel())
  held = mask & (cov >= descending[_at_least_one(share, mask) - 1])
  log_ratio = jnp.where(mask, logps - old_logps, 0.0)
  distance = jnp.maximum(log_ratio, -log_ratio)  # at 0 its slope is 0, unlike that of jnp.abs
  cost = jnp.where(held, distance, 0.0)
  objective = ratio * per_token(advantages) - kl_weight * cost
  metrics = {"kl_cov/held": share_of_tokens(held, mask)} | mean_ratio(ratio, mask)
  return -token_mean(objective, mask), metrics


def _covariance(logps: PerToken, advantages: Advantages, mask: Mask) -> PerToken:
  """Cov_it, a constant to the gradient."""
  logps = jax.lax.stop_gradient(jnp.where(mask, logps, 0.0))
  a = jnp.broadcast_to(per_token(advantages), mask.shape)
  return (a - token_mean(a, mask)) * (logps - token_mean(logps, mask))


def _at_least_one(share: Share, mask: Mask) -> jax.Array:
  """How many tokens a share of the batch's is, rounded down, and no fewer than one."""
  return jnp.maximum(jnp.floor(share * mask.sum()), 1).astype(int)
