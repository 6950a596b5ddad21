"""REINFORCE and GRPO with another baseline, or another scale, than the group's own.

All need no critic. What differs is what is taken off the reward (the group's mean, one weighted by
lengths, the batch's mean, a greedy response's reward) and what it is divided by (nothing, or a
spread over the batch).
"""

import jax
import jax.numpy as jnp

from algorithms.advantages import (
  batch_mean,
  batch_relative,
  centered,
  is_scored,
  length_weighted,
  whiten,
)
from algorithms.divergences import KL
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  clipped_surrogate,
  kl_penalty,
  per_token,
  ratio_metrics,
  token_ratio,
)
from algorithms.reductions import lengths, sequence_sum, token_mean
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerPrompt,
  PerResponse,
  PerToken,
  UpperClip,
  Weight,
)


@loss_function
def lite_ppo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  ddof: Ddof = 0,
):
  """Lite PPO ("Tricks or traps?": Liu et al., 2025, arXiv:2508.08221).

    A_i  = (r_i - mean of its group) / (std of all rewards of the batch + 1e-4)
    loss = -1/(sum_i n_i) sum_it min(rho_it A_i, clip(rho_it, 1-eps_low, 1+eps_high) A_i)

  Two of the many tricks, which the paper finds to be enough: a spread over the batch, so that no
  group is amplified for being nearly tied, and tokens that all weigh the same.

  Args:
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    ddof: of the standard deviation in A.
  """
  advantages = batch_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  return -token_mean(objective, mask), ratio_metrics(ratio, advantages, mask, clip_low, clip_high)


@loss_function
def reinforce_plus_plus(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
):
  """REINFORCE++ (Hu et al., 2025, arXiv:2501.03262): no group, whitened over the batch.

    A_it = r_i - beta sum_{s >= t} (log pi_old(y_is) - log pi_ref(y_is)), whitened over all tokens
    loss = -1/(sum_i n_i) sum_it min(rho_it A_it, clip(rho_it, 1-eps_low, 1+eps_high) A_it)

  PPO without its critic. The batch's mean is the baseline, so a prompt that is easy pushes its bad
  responses up as well. K = 1 works.

  Args:
    beta: strength of the KL (k1, a constant to the gradient) in the reward; 0 turns it off.
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
  """
  scored = mask & is_scored(rewards)[..., None]
  penalty, kl_metrics = kl_penalty(beta, "k1", old_logps, ref_logps, scored)
  penalty = jnp.where(scored, penalty, 0.0)
  to_come = jnp.cumsum(penalty[..., ::-1], axis=-1)[..., ::-1]
  advantages = whiten(jnp.where(scored, rewards[..., None] - to_come, 0.0), scored)
  ratio = token_ratio(logps, old_logps, mask)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -token_mean(objective, mask), metrics | kl_metrics


@loss_function
def reinforce_plus_plus_baseline(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k2",
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
):
  """REINFORCE++ with baseline (Hu et al., 2025, arXiv:2501.03262): the group's mean, then whitened.

    A_it = r_i - mean_j r_j, the same at each token, whitened over all tokens of the batch
    loss = -1/(sum_i n_i) sum_it [min(rho_it A_it, clip(rho_it) A_it) - beta KL_it]

  Where lengths differ, the mean that whitening takes off is not 0.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k2" is the paper's (see `divergences`).
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
  """
  scored = mask & is_scored(rewards)[..., None]
  spread = jnp.broadcast_to(per_token(centered(rewards)), mask.shape)
  advantages = whiten(spread, scored)
  ratio = token_ratio(logps, old_logps, mask)
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high) - penalty
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -token_mean(objective, mask), metrics | kl_metrics


@loss_function
def gpg(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Group Policy Gradient (GPG: Chu et al., 2025, arXiv:2504.02546, eq. 5 and 7).

    alpha = responses / those of them whose group is not tied
    loss  = -1/(sum_i n_i) sum_it alpha (r_i - mean_j r_j) log pi_theta(y_it)

  A tied group pushes nothing and yet counts in the mean; alpha makes up for it. No ratio, no clip,
  no spread: for fresh samples. (The paper also defers a batch with too many tied groups.)
  """
  advantages, scored = centered(rewards), is_scored(rewards)
  informative = scored & (advantages != 0).any(axis=1, keepdims=True)
  alpha = scored.sum() / jnp.maximum(informative.sum(), 1)
  objective = alpha * per_token(advantages) * jnp.where(mask, logps, 0.0)
  return -token_mean(objective, mask), {"gpg/alpha": alpha.astype(logps.dtype)}


@loss_function
def opo(logps: PerToken, rewards: PerResponse, mask: Mask):
  """On-Policy RL with Optimal baseline (OPO: Hao et al., 2025, arXiv:2505.23585).

    A_i  = r_i - sum_j n_j r_j / sum_j n_j          long responses weigh more in the baseline
    loss = -mean_i A_i sum_t m_it log pi_theta(y_it)

  The baseline of least variance, if a response's squared gradient grows with its length. For fresh
  samples only: there is no ratio, which is half of the paper's advice.
  """
  advantages = length_weighted(rewards, lengths(mask))
  return -(advantages * sequence_sum(logps, mask)).mean(), {}


@loss_function
def remax(
  logps: PerToken,
  rewards: PerResponse,
  greedy_rewards: PerPrompt,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
):
  """ReMax (Li et al., 2023, arXiv:2310.10505): the baseline is the greedy response's reward.

    R_i  = r_i - beta sum_t sg(log pi_theta(y_it) - log pi_ref(y_it))
    loss = -mean_i (R_i - r(greedy response)) sum_t m_it log pi_theta(y_it)

  For fresh samples, no ratio; K = 1 works. The greedy response costs a rollout a prompt. Where it
  has no reward, the prompt teaches nothing. (The authors' code divides by the batch's tokens, and
  gives each token its own share of the KL alone.)

  Args:
    beta: strength of the KL (k1, a constant to the gradient) in the reward; 0 turns it off.
  """
  penalty, kl_metrics = kl_penalty(beta, "k1", jax.lax.stop_gradient(logps), ref_logps, mask)
  baseline = greedy_rewards[:, None]
  compared = is_scored(rewards) & is_scored(baseline)
  advantages = jnp.where(compared, rewards - sequence_sum(penalty, mask) - baseline, 0.0)
  loss = -(advantages * sequence_sum(logps, mask)).mean()
  return loss, kl_metrics | {"remax/greedy_reward": batch_mean(baseline)}
