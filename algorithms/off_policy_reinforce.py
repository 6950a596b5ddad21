"""REINFORCE on responses of an older policy: what holds it back is not an importance ratio.

With l_i = sum_t m_it log pi_theta(y_it), and A_i = r_i - mean_j r_j, the losses are
-mean_i A_i l_i and one safeguard each: a weight on bad responses (`topr`), a lower baseline
(`asymre`), a quadratic pull to the policy that sampled (`opmd`), a mask (`rec_one_side`,
`rec_ring`). Yao et al., 2025 (arXiv:2509.24203), read the last four as regularisers of one
derivation that never asks who wrote the responses. The value of these losses means little; their
gradient is the point.
"""

import jax
import jax.numpy as jnp

from algorithms.advantages import centered, is_scored
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import mean_ratio, per_token, token_ratio
from algorithms.reductions import sequence_sum, share_of_tokens, token_mean
from algorithms.shapes import LowerClip, Mask, PerResponse, PerToken, Scalar, UpperClip, Weight


@loss_function
def topr(logps: PerToken, old_logps: PerToken, rewards: PerResponse, mask: Mask):
  """Tapered Off-Policy REINFORCE (TOPR: Le Roux et al., 2025, arXiv:2503.14286).

    A_i  = r_i - mean_j r_j
    w_i  = 1 where A_i >= 0, else min(pi_theta(y_i) / pi_old(y_i), 1)     a constant to the gradient
    loss = -mean_i w_i A_i l_i

  A good response is imitated however unlikely the policy finds it; a bad one is pushed down only as
  far as the policy would still write it. (The paper's rewards are +1 and -1 less a constant. The
  group's mean is the baseline that rewards of any kind have here.)
  """
  advantages = centered(rewards)
  log_ratio = jnp.minimum(sequence_sum(logps - old_logps, mask), 0.0)
  weights = jax.lax.stop_gradient(jnp.where(advantages >= 0, 1.0, jnp.exp(log_ratio)))
  loss = -(weights * advantages * sequence_sum(logps, mask)).mean()
  return loss, {"topr/weight_mean": weights.mean()}


@loss_function
def asymre(logps: PerToken, rewards: PerResponse, mask: Mask, *, baseline_shift: Scalar = -0.1):
  """Asymmetric REINFORCE (AsymRE: Arnal et al., 2025, arXiv:2506.20520).

    A_i  = r_i - (mean_j r_j + shift)
    loss = -mean_i A_i l_i

  Below the mean, good responses weigh more than bad ones; in the mean over many responses the shift
  adds -shift KL(pi_old || pi_theta) to the loss (Yao et al., 2025). At 0 the paper's
  runs collapsed once the data was old.

  Args:
    baseline_shift: added to the baseline, in units of the reward.
  """
  advantages = jnp.where(is_scored(rewards), centered(rewards) - baseline_shift, 0.0)
  return -(advantages * sequence_sum(logps, mask)).mean(), {}


@loss_function
def opmd(
  logps: PerToken, old_logps: PerToken, rewards: PerResponse, mask: Mask, *, tau: Weight = 0.1
):
  """Online Policy Mirror Descent (Kimi k1.5, 2025, arXiv:2501.12599, section 2.3).

    A_i  = r_i - mean_j r_j
    loss = -mean_i [A_i l_i - tau/2 (l_i - l_i^old)^2]

  The gradient is that of 1/(2 tau) mean_i (A_i - tau (l_i - l_i^old))^2: of DRO (Richemond et al.,
  2024, arXiv:2405.19107) with the group's mean as its value, and the policy that sampled as
  its reference.

  Args:
    tau: strength of the pull to the policy that sampled, in units of the reward; 0 turns it off.
  """
  log_ratio = sequence_sum(logps - old_logps, mask)
  objective = centered(rewards) * sequence_sum(logps, mask) - tau / 2 * log_ratio**2
  # As everywhere, no push from a response without a score.
  loss = -jnp.where(is_scored(rewards), objective, 0.0).mean()
  return loss, mean_ratio(token_ratio(logps, old_logps, mask), mask)


@loss_function
def rec_one_side(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
):
  """REINFORCE with GRPO's mask and no ratio (REC-OneSide-NoIS: Yao et al., 2025, arXiv:2509.24203).

    M_it = 1{A_i >= 0, rho_it <= 1 + eps_high} + 1{A_i < 0, rho_it >= 1 - eps_low}
    loss = -1/(sum_i n_i) sum_it M_it A_i log pi_theta(y_it),      A_i = r_i - mean_j r_j

  The tokens that GRPO's clip leaves a gradient have one here, not weighed by rho. The paper finds
  that the clip is what keeps GRPO stable off-policy, and that the ratio does nothing.

  Args:
    clip_low, clip_high: eps. (0.6, 2.0) learns faster in the paper.
  """
  a = per_token(centered(rewards))
  ratio = token_ratio(logps, old_logps, mask)
  kept = jnp.where(a >= 0, ratio <= 1 + clip_high, ratio >= 1 - clip_low)
  return _masked_reinforce(logps, a, ratio, kept, mask)


@loss_function
def rec_ring(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  outer_low: LowerClip = 0.6,
  outer_high: UpperClip = 2.0,
):
  """REINFORCE on near tokens and on far ones to be pulled back (REC-Ring-NoIS: Yao et al., 2025).

    M_it = 1{1 - eps_low <= rho_it <= 1 + eps_high}
           + 1{A_i >= 0, rho_it <= 1 - outer_low} + 1{A_i < 0, rho_it >= 1 + outer_high}
    loss = -1/(sum_i n_i) sum_it M_it A_i log pi_theta(y_it),      A_i = r_i - mean_j r_j

  Between the two clips nothing is pushed, on either side.

  Args:
    clip_low, clip_high: eps, the inner clip.
    outer_low, outer_high: how far away a token must be for a push back; above the inner clip.
  """
  a = per_token(centered(rewards))
  ratio = token_ratio(logps, old_logps, mask)
  near = (ratio >= 1 - clip_low) & (ratio <= 1 + clip_high)
  back = jnp.where(a >= 0, ratio <= 1 - outer_low, ratio >= 1 + outer_high)
  return _masked_reinforce(logps, a, ratio, near | back, mask)


def _masked_reinforce(logps: PerToken, a, ratio: PerToken, kept: Mask, mask: Mask):
  """The token mean of A log pi over the tokens that are kept; the others still count in it."""
  metrics = {"clip_ratio/region_mean": share_of_tokens(~kept, mask)} | mean_ratio(ratio, mask)
  return -token_mean(jnp.where(kept, a * logps, 0.0), mask), metrics
