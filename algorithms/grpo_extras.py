"""GRPO with one part of `corrections` each, and GRPO for several rewards."""

import jax.numpy as jnp

from algorithms.advantages import group_relative, per_reward
from algorithms.corrections import (
  Level,
  entropy_bonus,
  off_policy_sequence_mask,
  top_entropy_mask,
  truncated_importance_weights,
)
from algorithms.divergences import KL
from algorithms.grpo import grpo
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import clipped_surrogate, kl_penalty, ratio_metrics, token_ratio
from algorithms.reductions import sequence_mean, share_of_tokens, token_mean
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerReward,
  PerToken,
  Positive,
  RatioCap,
  Share,
  UpperClip,
  Weight,
)


@loss_function
def entropy_bonus_grpo(
  logps: PerToken,
  old_logps: PerToken,
  entropy: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  bonus: Weight = 0.01,
  ddof: Ddof = 0,
):
  """GRPO with a bonus for the entropy of the policy.

    loss = grpo - bonus 1/(sum_i n_i) sum_it H_it,   H_it the entropy before token t, in nats

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    bonus: what a nat of mean entropy is worth.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  options = {"beta": beta, "kl": kl, "clip_low": clip_low, "clip_high": clip_high, "ddof": ddof}
  loss, metrics = grpo(logps, old_logps, rewards, mask, ref_logps, **options)
  metrics |= {"policy_loss": loss, "entropy": token_mean(entropy, mask)}
  return loss - entropy_bonus(entropy, mask, bonus), metrics


@loss_function
def top_entropy_grpo(
  logps: PerToken,
  old_logps: PerToken,
  entropy: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  share: Share = 0.2,
  ddof: Ddof = 0,
):
  """GRPO on the tokens where the policy hesitates ("Beyond the 80/20 rule": Wang et al., 2025).

    loss = -mean_i 1/n_i sum_t [1{H_it >= tau} min(rho_it A_i, clip(rho_it) A_i) - beta KL_it]

  tau is the (1 - share)-quantile of the entropy H over the batch's tokens. n_i, and the KL, still
  count all tokens, as in TRL. (The paper's base is DAPO: a token mean and clip_high = 0.28.)

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    share: how many of the tokens are trained on, those of the highest entropy; 1 is `grpo`.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  kept = top_entropy_mask(entropy, mask, share)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  surrogate = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  objective = jnp.where(kept, surrogate, 0.0) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  metrics |= {"entropy": token_mean(entropy, mask), "entropy/kept": share_of_tokens(kept, mask)}
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def masked_off_policy_grpo(
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
  threshold: Positive = 0.5,
  ddof: Ddof = 0,
):
  """GRPO that leaves stale bad responses out (DeepSeek-V3.2, 2025, eq. 9).

    M_i  = 0 where A_i < 0 and 1/n_i sum_t log(pi_old(y_it) / pi_theta(y_it)) > threshold, else 1
    loss = -mean_i 1/n_i sum_t [M_i min(rho_it A_i, clip(rho_it) A_i) - beta KL_it]

  (TRL measures from the sampler's log-probs where it has them: pass those as `old_logps`.)

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    threshold: in nats a token: how far the policy may have left a bad response that still counts.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  kept = mask & off_policy_sequence_mask(logps, old_logps, advantages, mask, threshold)[..., None]
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  surrogate = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  objective = jnp.where(kept, surrogate, 0.0) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  metrics |= {"off_policy_mask/kept": share_of_tokens(kept, mask)}
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def truncated_grpo(
  logps: PerToken,
  old_logps: PerToken,
  sampler_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  level: Level = "token",
  ratio_cap: RatioCap = 2.0,
  ddof: Ddof = 0,
):
  """GRPO with truncated importance sampling (Yao et al., 2025, "Your efficient RL framework ...").

    c_it = min(pi_old(y_it) / pi_sampler(y_it), cap)           a constant to the gradient
    loss = -mean_i 1/n_i sum_t [c_it min(rho_it A_i, clip(rho_it) A_i) - beta KL_it]

  (TRL calls it "token_truncate" and "sequence_truncate"; its default is instead to leave out whole
  responses whose ratio exceeds 3.)

  Args:
    old_logps: the trainer's own, of the parameters that sampled.
    sampler_logps: what the sampler said of the same tokens.
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    level: "token": a weight for each token; "sequence": one for the response, unbiased but noisy.
    ratio_cap: the largest weight.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  weights = truncated_importance_weights(old_logps, sampler_logps, mask, level, ratio_cap)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = weights * clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  metrics |= {"sampling/truncated_weight/mean": token_mean(weights, mask)}
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def gdpo(
  logps: PerToken,
  old_logps: PerToken,
  reward_parts: PerReward,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  ddof: Ddof = 0,
):
  """Group reward-Decoupled normalization Policy Optimization (GDPO: Liu et al., 2026, eq. 4-6).

    A_i  = sum_n (r_in - mean_j r_jn) / (std_j r_jn + 1e-4), divided by its std over the batch
    loss = -mean_i 1/n_i sum_t [min(rho_it A_i, clip(rho_it) A_i) - beta KL_it]

  Each of the rewards r_n is normalised in its group before they are summed (see
  `advantages.per_reward`); each weighs the same.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    ddof: of the standard deviations in A: 0 divides a variance by its count, 1 (TRL's) by one less.
  """
  advantages = per_reward(reward_parts, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics
