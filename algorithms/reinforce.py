"""REINFORCE, plain and leave-one-out: a whole response is one action, the KL is in the reward.

  R_i = r_i - beta sum_t m_it (log pi(y_it) - log pi_ref(y_it))

The KL is k1, a constant to the gradient: in the reward it pulls towards the reference, as it would
not in the loss (see `divergences`). Without `ref_logps` there is no KL term.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from algorithms.advantages import batch_mean, is_scored, leave_one_out
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import clipped_surrogate, kl_penalty, ratio_metrics, sequence_ratio
from algorithms.reductions import sequence_mean, sequence_sum
from algorithms.shapes import LowerClip, Mask, PerResponse, PerToken, UpperClip, Weight


@loss_function
def rloo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.05,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
):
  """REINFORCE leave-one-out (Ahmadian et al., 2024, eq. 8), with PPO's clip for further steps.

    R_i   = r_i - beta sum_t (log pi_old(y_it) - log pi_ref(y_it))
    A_i   = R_i - mean_{j != i} R_j
    rho_i = pi_theta(y_i) / pi_old(y_i)                       of the whole response
    loss  = -mean_i min(rho_i A_i, clip(rho_i, 1-eps_low, 1+eps_high) A_i)

  Args:
    beta: strength of the KL in the reward; 0 turns it off. (The paper's is 0.03, TRL's 0.05.)
    clip_low, clip_high: of rho_i. On the first step after sampling rho_i = 1: the paper's RLOO.
  """
  penalty, kl_metrics = kl_penalty(beta, "k1", old_logps, ref_logps, mask)
  advantages = leave_one_out(rewards - sequence_sum(penalty, mask))
  ratio = sequence_ratio(logps, old_logps, mask)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -sequence_mean(objective, mask), metrics | kl_metrics


@loss_function
def reinforce(
  logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  reward_baseline: PerResponse | None = None,
  *,
  beta: Weight = 0.0,
  baseline: Literal["none", "batch", "running"] = "batch",
):
  """REINFORCE (Williams, 1992): the policy gradient on freshly sampled responses, no ratio.

    R_i  = r_i - beta sum_t sg(log pi_theta(y_it) - log pi_ref(y_it))
    loss = -mean_i (R_i - b) sum_t log pi_theta(y_it)

  Its value means little; its gradient is the point.

  Args:
    reward_baseline: needed by baseline="running" only.
    beta: strength of the KL in the reward; 0 turns it off.
    baseline: b: "none" is 0, "batch" the mean of R over the batch, "running" the mean reward of
      earlier steps.
  """
  penalty, kl_metrics = kl_penalty(beta, "k1", jax.lax.stop_gradient(logps), ref_logps, mask)
  penalized = rewards - sequence_sum(penalty, mask)
  if baseline == "batch":
    b = batch_mean(penalized)
  elif baseline == "none":
    b = 0.0
  elif reward_baseline is None:
    raise ValueError('reinforce(baseline="running") needs reward_baseline')
  else:
    b = reward_baseline
  advantages = jnp.where(is_scored(rewards), penalized - b, 0.0)
  return -(advantages * sequence_sum(logps, mask)).mean(), kl_metrics
