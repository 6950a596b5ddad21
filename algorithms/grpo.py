"""Group Relative Policy Optimization, and the losses that change one of its choices.

Each is an advantage, a ratio, an objective, minus the KL, and a reduction of tokens to a number:

  rho_it = pi_theta(y_it) / pi_old(y_it)
  loss   = -reduction over i, t of [objective(rho_it, A_i) - beta KL_it]

`ref_logps` is needed only when beta is not 0; without it there is no KL term.
"""

import jax.numpy as jnp

from algorithms.advantages import centered, group_relative
from algorithms.divergences import KL
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  clipped_surrogate,
  kl_penalty,
  mean_ratio,
  per_token,
  ratio_metrics,
  token_ratio,
)
from algorithms.reductions import constant_mean, sequence_mean, token_mean
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  RatioCap,
  UpperClip,
  Weight,
)


@loss_function
def grpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  ddof: Ddof = 0,
):
  """Group Relative Policy Optimization (Shao et al., 2024, eq. 3). With K = 2 it is 2-GRPO.

    A_i    = (r_i - mean_j r_j) / (std_j r_j + 1e-4)
    rho_it = pi_theta(y_it) / pi_old(y_it)
    loss   = -mean_i 1/n_i sum_t [min(rho_it A_i, clip(rho_it, 1-eps_low, 1+eps_high) A_i)
                                  - beta KL_it]

  Args:
    old_logps: under the policy that sampled the responses. On the first step after sampling
      rho = 1 everywhere, so the loss is 0 while its gradient is not.
    beta: strength of the KL to the reference: larger stays closer. 0 turns it off.
    kl: its estimate: "k3" is the paper's; "k2" has the true gradient on-policy, "weighted_k3" off
      policy as well, and "k1" none (see `divergences`).
    clip_low, clip_high: eps; equal in the paper, clip_high > clip_low is DAPO's "clip higher".
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def dr_grpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  max_tokens: Positive = 256.0,
):
  """GRPO done right (Dr. GRPO: Liu et al., 2025): no division by a spread or by a length.

    A_i  = r_i - mean_j r_j
    loss = -1/(B K max_tokens) sum_it [min(rho_it A_i, clip(rho_it) A_i) - beta KL_it]

  Args:
    beta: strength of the KL to the reference; 0 (the paper's) turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    max_tokens: a constant to divide by, usually the longest response that sampling allows.
  """
  advantages = centered(rewards)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -constant_mean(objective, mask, max_tokens), metrics | kl_metrics


@loss_function
def dapo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.28,
  ddof: Ddof = 0,
):
  """The loss of DAPO (Yu et al., 2025, eq. 8): every token weighs the same, and "clip higher".

    loss = -1/(sum_i n_i) sum_it [min(rho_it A_i, clip(rho_it, 1-0.2, 1+0.28) A_i) - beta KL_it]

  The normaliser is the number of tokens of the whole batch. DAPO's other parts, dynamic sampling
  and the overlong penalty, are about the data and the reward, not the loss. With clip_high = 0.2 it
  is TRL's loss_type "bnpo" (configs/bnpo.py).

  Args:
    beta: strength of the KL to the reference; 0 (the paper's) turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -token_mean(objective, mask), metrics | kl_metrics


@loss_function
def unclipped_grpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  ddof: Ddof = 0,
):
  """GRPO without a clip: the plain importance-weighted policy gradient.

    loss = -mean_i 1/n_i sum_t [rho_it A_i - beta KL_it]

  Nothing but the learning rate, and beta, holds the policy near the one that sampled.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = ratio * per_token(advantages) - penalty
  return -sequence_mean(objective, mask), mean_ratio(ratio, mask) | kl_metrics


@loss_function
def two_sided_grpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  ratio_cap: RatioCap = 4.0,
  ddof: Ddof = 0,
):
  """GRPO with two-sided clipping (INTELLECT-2, 2025, arXiv:2505.07291).

    loss = -mean_i 1/n_i sum_t [min(min(rho_it, cap) A_i, clip(rho_it) A_i) - beta KL_it]

  With A < 0 the ordinary clip leaves a large rho alone, so that one token that the policy has come
  to like much better than pi_old did can dominate the batch; the cap ends that push.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    ratio_cap: the largest ratio that counts, above 1 + clip_high (TRL's delta).
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  a = per_token(advantages)
  clipped = jnp.clip(ratio, 1 - clip_low, 1 + clip_high)
  objective = jnp.minimum(jnp.minimum(ratio, ratio_cap) * a, clipped * a) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics
