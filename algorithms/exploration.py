"""Preferences between a response of the policy and one of the reference, with a pull to explore."""

import jax
import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  is_present,
  log_ratios,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
)
from algorithms.reductions import sequence_sum
from algorithms.shapes import Beta, Mask, PerResponse, PerToken, Weight


@loss_function
def xpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  by_reference: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  alpha: Weight = 1e-5,
):
  """Exploratory Preference Optimization (XPO: Xie et al., 2024, arXiv:2405.21046, algorithm 1).

    loss = mean over pairs of -log sigmoid(beta (h_w - h_l))  +  alpha mean_j l_j

  A pair is a response of the policy and one of the reference, of unequal rewards; j are all
  responses of the reference, which the second term makes less likely, with l their log-prob. That
  is optimism: the policy leaves what the reference would have written anyway. With K = 2 there is
  one of each, as in the paper, and a tied pair has the second term alone. (In TRL, which has the
  same equation and alpha, the policy's response wins a tie.)

  Args:
    by_reference: 1 where the reference wrote the response, else 0.
    beta: strength of the KL to the reference: larger stays closer.
    alpha: strength of the second term; 0 is online DPO against the reference.
  """
  theirs = by_reference > 0.5
  weights = pair_weights(rewards, mask, "all")
  weights = jnp.where(theirs[:, :, None] != theirs[:, None, :], weights, 0.0)
  h = log_ratios(logps, ref_logps, mask)
  preference = pair_mean(-jax.nn.log_sigmoid(beta * pair_differences(h)), weights)
  left = theirs & is_present(rewards, mask)
  optimism = jnp.where(left, sequence_sum(logps, mask), 0.0).sum() / jnp.maximum(left.sum(), 1)
  metrics = preference_metrics(logps, h, weights, mask, beta)
  return preference + alpha * optimism, metrics | {"logps/by_reference": optimism}
