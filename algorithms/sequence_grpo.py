"""GRPO with one importance ratio a response, as there is one reward a response.

The ratio is a geometric mean over the response's tokens, (pi_theta(y) / pi_old(y))^(1/n), so that
long responses do not leave the clip at once. Arguments are those of `grpo`.
"""

import jax.numpy as jnp

from algorithms.advantages import group_relative
from algorithms.divergences import KL
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  clipped_surrogate,
  geometric_mean_ratio,
  kl_penalty,
  per_token,
  ratio_metrics,
  token_ratio,
)
from algorithms.reductions import sequence_mean, sequence_sum
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  UpperClip,
  Weight,
)


@loss_function
def gspo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 3e-4,
  clip_high: UpperClip = 4e-4,
  ddof: Ddof = 0,
):
  """Group Sequence Policy Optimization (Zheng et al., 2025, eq. 5).

    s_i  = (pi_theta(y_i) / pi_old(y_i))^(1/n_i)
    loss = -mean_i [min(s_i A_i, clip(s_i, 1-eps_low, 1+eps_high) A_i) - beta 1/n_i sum_t KL_it]

  Args:
    beta: strength of the KL to the reference; 0 (the paper's) turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: of s_i, which moves far less than a token's ratio: hence so small.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = geometric_mean_ratio(logps - old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def luspo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 2e-3,
  clip_high: UpperClip = 2.5e-3,
  ddof: Ddof = 0,
):
  """Length-Unbiased Sequence Policy Optimization (LUSPO, 2026, arXiv:2602.05261).

    loss = -mean_i [n_i min(s_i A_i, clip(s_i) A_i) - beta sum_t KL_it]

  The gradient of s_i carries 1/n_i, which in `gspo` makes a long response's tokens weigh less; the
  factor n_i takes it away.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: of s_i; the paper's (section 5.1).
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = geometric_mean_ratio(logps - old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_sum(objective, mask).mean(), metrics | kl_metrics


@loss_function
def gmpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: Positive = 0.4,
  clip_high: Positive = 0.4,
  ddof: Ddof = 0,
):
  """Geometric-Mean Policy Optimization (Zhao et al., 2025, arXiv:2507.20673).

    c_it = min(log rho_it, eps_high) where A_i > 0, else max(log rho_it, -eps_low)
    loss = -mean_i [exp(1/n_i sum_t c_it) A_i - beta 1/n_i sum_t KL_it]

  Each token is clipped before the geometric mean is taken, and in the log: rho in [e^-0.4, e^0.4].

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: of log rho, in nats: not of rho itself, as in the other losses.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  a, log_ratio = per_token(advantages), logps - old_logps
  clipped = jnp.where(a > 0, jnp.minimum(log_ratio, clip_high), jnp.maximum(log_ratio, -clip_low))
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = geometric_mean_ratio(clipped, mask) * a - penalty
  rho = token_ratio(logps, old_logps, mask)
  metrics = ratio_metrics(rho, advantages, mask, -jnp.expm1(-clip_low), jnp.expm1(clip_high))
  return -sequence_mean(objective, mask), metrics | kl_metrics
