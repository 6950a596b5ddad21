"""Group Relative Policy Optimization: the policy gradient whose baseline is the group itself."""

from algorithms.advantages import group_relative
from algorithms.divergences import k3
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import (
  clipped_surrogate,
  ratio_metrics,
  sequence_mean,
  token_mean,
  token_ratio,
)
from algorithms.shapes import Clip, Ddof, Mask, PerResponse, PerToken, Weight


@loss_function
def grpo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  clip_low: Clip = 0.2,
  clip_high: Clip = 0.2,
  ddof: Ddof = 0,
):
  """Group Relative Policy Optimization (Shao et al., 2024, eq. 3). With K = 2 it is 2-GRPO.

    A_i    = (r_i - mean_j r_j) / (std_j r_j + 1e-4)
    rho_it = pi_theta(y_it) / pi_old(y_it)
    loss   = -mean_i 1/n_i sum_t [min(rho_it A_i, clip(rho_it, 1-eps_low, 1+eps_high) A_i)
                                  - beta k3_it]

  Args:
    old_logps: under the policy that sampled the responses. On the first step after sampling
      rho = 1 everywhere, so the loss is 0 while its gradient is not.
    ref_logps: needed only when beta is not 0.
    beta: strength of the KL to the reference: larger stays closer. 0 turns it off.
    clip_low, clip_high: eps; equal in the paper, clip_high > clip_low is DAPO's "clip higher".
    ddof: of the standard deviation in A (see `advantages.group_relative`).
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio = token_ratio(logps, old_logps, mask)
  objective = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  if ref_logps is not None:
    kl = k3(logps, ref_logps)
    objective -= beta * kl
    metrics["kl"] = token_mean(kl, mask)
  return -sequence_mean(objective, mask), metrics
