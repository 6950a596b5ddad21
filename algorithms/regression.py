"""Regression of reward differences on log-ratio differences: what DPO and PPO have in common.

The policy that maximises the reward less beta KL(pi || pi_0) has beta (h_i - h_j) = r_i - r_j for
any two responses, with h_i = sum_t m_it (log pi(y_it) - log pi_0(y_it)). DPO fits this to
preferences; these fit it to rewards, by least squares. Who wrote the responses does not matter.
"""

import jax.numpy as jnp

from algorithms.advantages import batch_mean, centered, is_scored, scored_count
from algorithms.loss_function import loss_function
from algorithms.preferences import log_ratios, pair_differences
from algorithms.shapes import (
  Beta,
  Mask,
  OfReference,
  PerPrompt,
  PerResponse,
  PerToken,
  Positive,
  Scalar,
)


@loss_function
def rebel(
  logps: PerToken, old_logps: PerToken, rewards: PerResponse, mask: Mask, *, eta: Positive = 1.0
):
  """REBEL, regression to relative rewards (Gao et al., 2024, arXiv:2404.16767, algorithm 1).

    h_i  = sum_t m_it (log pi_theta(y_it) - log pi_old(y_it))
    loss = mean over pairs of  ((h_i - h_j) / eta - (r_i - r_j))^2

  Pairs are any two scored responses of a group, ties included; the paper's groups have two. With
  eta = 1 / beta, and one policy behind the log-ratios, it is `gvpo` times 4 K / (K - 1).

  Args:
    old_logps: of the policy before this step, which is what each step stays near to.
    eta: the step size: larger moves the policy further for a unit of reward.
  """
  scored = is_scored(rewards)
  h = log_ratios(logps, old_logps, mask)
  residuals = pair_differences(h) / eta - pair_differences(jnp.where(scored, rewards, 0.0))
  others = ~jnp.eye(rewards.shape[1], dtype=bool)
  pairs = scored[:, :, None] & scored[:, None, :] & others
  squares = jnp.where(pairs, residuals**2, 0.0)
  return squares.sum() / jnp.maximum(pairs.sum(), 1), {"rebel/log_ratio": h.mean()}


@loss_function
def gvpo(
  logps: PerToken, ref_logps: PerToken, rewards: PerResponse, mask: Mask, *, beta: Beta = 0.1
):
  """Group Variance Policy Optimization (GVPO: Zhang et al., 2025, arXiv:2504.19599).

    h_i  = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it))
    loss = 1/2 mean_i [beta (h_i - mean_j h_j) - (r_i - mean_j r_j)]^2

  The weights of the responses, -d loss / d l_i, sum to zero in the group, which takes the partition
  function out; and the only minimum is the optimum of the reward less beta KL to the reference.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
  """
  scored = is_scored(rewards)
  h = jnp.where(scored, log_ratios(logps, ref_logps, mask), 0.0)
  deviations = jnp.where(scored, h - h.sum(axis=1, keepdims=True) / scored_count(rewards), 0.0)
  return ((beta * deviations - centered(rewards)) ** 2).mean() / 2, {"gvpo/log_ratio": h.mean()}


@loss_function
def a_star_po(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  reference_rewards: OfReference,
  mask: Mask,
  *,
  beta1: Positive = 0.5,
  beta2: Beta = 1e-3,
):
  """A*-PO, regression to the optimal advantage (Brantley et al., 2025, arXiv:2505.20686).

    V*   = beta1 log mean_n exp(r(y_n) / beta1)        y_1..y_N of the reference
    loss = mean_i [beta2 h_i - (r_i - V*)]^2,          h to the reference

  V*(x) is the value of the best policy under a KL to the reference, its partition function: with it
  a single response is regressed as `rebel` regresses two. For fresh samples; K = 1 is the paper's.
  The authors' code has the two equations and the defaults.

  Args:
    reference_rewards: NaN ones are left out; a prompt that has no others teaches nothing.
    beta1: of V*: towards 0 it is the best of the N rewards, large it is their mean.
    beta2: strength of the KL to the reference: larger stays closer.
  """
  values = optimal_values(reference_rewards, beta1)[:, None]
  compared = is_scored(rewards) & is_scored(values)
  advantages = jnp.where(compared, rewards - values, 0.0)
  h = log_ratios(logps, ref_logps, mask)
  squares = jnp.where(compared, beta2 * h - advantages, 0.0) ** 2
  metrics = {"a_star_po/optimal_value": batch_mean(values), "a_star_po/log_ratio": h.mean()}
  return squares.mean(), metrics


def optimal_values(rewards: OfReference, beta: Scalar) -> PerPrompt:
  """beta log mean_n exp(r_n / beta) over the scored rewards of each prompt; NaN without any."""
  scored = is_scored(rewards)
  best = jnp.where(scored, rewards, -jnp.inf).max(axis=1)
  # From the best reward down: a large beta would multiply the rounding of a logarithm near 0.
  below = jnp.where(scored, jnp.expm1((rewards - best[:, None]) / beta), 0.0)
  mean = below.sum(axis=1) / scored_count(rewards)[:, 0]
  return jnp.where(scored.any(axis=1), best + beta * jnp.log1p(mean), jnp.nan)
