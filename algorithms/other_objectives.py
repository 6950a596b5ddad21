"""Policy gradients of something else than the mean reward: the log-likelihood, or the best of k."""

import jax

from algorithms.advantages import best_of_k_gain, mean_relative
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import clipped_surrogate, ratio_metrics, token_ratio
from algorithms.reductions import sequence_sum, token_mean
from algorithms.shapes import AtLeastTwo, LowerClip, Mask, PerResponse, PerToken, UpperClip


@loss_function
def maxrl(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
):
  """Maximum Likelihood RL (MaxRL: Tajwar et al., 2026, arXiv:2602.02710, algorithm 1).

    A_i  = (r_i - mean_j r_j) / mean_j r_j             0 where the mean is 0
    loss = -1/(sum_i n_i) sum_it min(rho_it A_i, clip(rho_it, 1-eps_low, 1+eps_high) A_i)

  With rewards 0 or 1 and p the chance of a 1, log p = -sum_k (1 - p)^k / k. The mean reward is the
  first term of that sum; this gradient is, on average, that of the first K - 1 terms, and with
  K -> infinity that of the likelihood of a right response. So hard prompts weigh more.

  Raises ValueError if a reward is negative: there is no likelihood to divide by.

  Args:
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
  """
  _refuse_negative(rewards)
  advantages = mean_relative(rewards)
  ratio = token_ratio(logps, old_logps, mask)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  return -token_mean(objective, mask), ratio_metrics(ratio, advantages, mask, clip_low, clip_high)


@loss_function
def pass_at_k(logps: PerToken, rewards: PerResponse, mask: Mask, *, k: AtLeastTwo = 2):
  """The policy gradient of the best of k (PKPO: Walder and Karkhanis, 2025, arXiv:2505.15201).

    A_i  = k mean over S of max(r_i - max_{j in S} r_j, 0),       S: k - 1 others of the group
    loss = -mean_i A_i l_i,                                      l_i = sum_t m_it log pi_theta(y_it)

  Unbiased for E[max of k rewards], which is pass@k where rewards are 0 or 1: what a response adds
  to k - 1 others. Nothing is pushed down. For fresh samples: there is no ratio.

  Args:
    k: of pass@k, at most K.
  """
  return -(best_of_k_gain(rewards, k) * sequence_sum(logps, mask)).mean(), {}


def _refuse_negative(rewards: PerResponse) -> None:
  if not isinstance(rewards, jax.core.Tracer) and bool((rewards < 0).any()):
    raise ValueError(
      f"maxrl divides by the mean reward: rewards of 0 and more, not {rewards.min()}"
    )
