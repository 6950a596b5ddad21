"""GRPO's ideas on responses that somebody else wrote: with importance ratios, or without."""

from typing import Literal

import jax

from algorithms.advantages import centered, group_relative
from algorithms.divergences import KL
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  clipped_surrogate,
  kl_penalty,
  ratio_metrics,
  sequence_ratio,
  token_ratio,
)
from algorithms.preferences import pair_differences, pair_weights, total_weight
from algorithms.reductions import sequence_mean, sequence_sum
from algorithms.shapes import (
  Beta,
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Scalar,
  UpperClip,
  Weight,
)


@loss_function
def off_policy_grpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  old_logps: PerToken | None = None,
  *,
  beta: Weight = 0.04,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  ratio: Literal["token", "sequence"] = "token",
  ddof: Ddof = 0,
):
  """GRPO's clipped surrogate over a fixed data set: no response is sampled while training.

  The loss of `grpo`, with pi_old = the behaviour policy whose log-probs the data set stores, else
  the reference. One epoch; the whole data set is, in spirit, one batch that pi_old collected.

  At pi_theta = pi_ref with K = 2, rewards (1, 0) and ratio="sequence" its gradient is
  -1/2 grad(l_w - l_l): exactly parallel to DPO's, which is beta times it.

  Args:
    old_logps: the behaviour policy's; None lets the reference stand in.
    ratio: "token": rho_it, tokens averaged by sequence; "sequence": one rho_i = pi_theta(y_i) /
      pi_old(y_i) a response, averaged over responses.
    beta, kl, clip_low, clip_high, ddof: as in `grpo`.
  """
  old_logps = ref_logps if old_logps is None else old_logps
  advantages = group_relative(rewards, ddof=ddof)
  rho = (token_ratio if ratio == "token" else sequence_ratio)(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(rho, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(rho, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def offline_grpo(
  logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  weights: Literal["centered", "standardized", "dpo"] = "centered",
  beta: Beta = 0.1,
):
  """Offline policy gradient with weights that sum to zero in the group, and no importance ratio.

    loss = -sum_i w_i l_i,   l_i = sum_t m_it log pi_theta(y_it),   sum_{i in group} w_i = 0

  Its value means little (the weights are constants to the gradient); its gradient is the point.

  Args:
    ref_logps: needed by weights="dpo" only.
    weights: "centered" r - mean r, or "standardized" (r - mean r) / std r, averaged over groups;
      "dpo": +-beta (1 - sigmoid(z)) on the best and worst response, averaged over untied groups as
      DPO is: then the gradient *is* DPO's, at every theta.
    beta: DPO's; only weights="dpo" uses it.
  """
  if weights == "centered":
    w = centered(rewards) / rewards.shape[0]
  elif weights == "standardized":
    w = group_relative(rewards) / rewards.shape[0]
  else:
    if ref_logps is None:
      raise ValueError('offline_grpo(weights="dpo") needs ref_logps')
    w = jax.lax.stop_gradient(_dpo_weights(logps, ref_logps, rewards, mask, beta))
  return -(w * sequence_sum(logps, mask)).sum(), {}


def _dpo_weights(
  logps: PerToken, ref_logps: PerToken, rewards: PerResponse, mask: Mask, beta: Scalar
) -> PerResponse:
  """-d dpo / d l_i: what a response wins as the better of its pairs, less what it loses."""
  z = beta * pair_differences(sequence_sum(logps - ref_logps, mask))
  pairs = pair_weights(rewards, mask)
  push = beta * jax.nn.sigmoid(-z) * pairs
  return (push.sum(axis=2) - push.sum(axis=1)) / total_weight(pairs)
