"""Preference losses without a reference: the length-averaged log-prob is the score."""

import jax
import jax.numpy as jnp

from algorithms.divergences import LARGEST_LOG_RATIO
from algorithms.loss_function import loss_function
from algorithms.preferences import (
  PairRule,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
  sides_of_pairs,
)
from algorithms.reductions import lengths, sequence_sum
from algorithms.shapes import Beta, Mask, PerResponse, PerToken, Weight


@loss_function
def simpo(
  logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 2.0,
  gamma: Weight = 0.5,
  pairs: PairRule = "best_worst",
):
  """Simple preference optimization (SimPO: Meng et al., 2024, eq. 6).

    p_i  = l_i / n_i,   l_i = sum_t m_it log pi_theta(y_it)
    loss = mean over pairs of  -log sigmoid(beta (p_w - p_l) - gamma)

  The metrics `rewards/*` are of beta p_i.

  Args:
    beta: scale of the margin, 2 to 2.5 in the paper: p is per token, so it is larger than DPO's.
    gamma: target margin, in units of beta p.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  p = _mean_logps(logps, mask)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-jax.nn.log_sigmoid(beta * pair_differences(p) - gamma), weights)
  return loss, preference_metrics(logps, p, weights, mask, beta)


@loss_function
def orpo(
  logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  weight: Weight = 0.1,
  pairs: PairRule = "best_worst",
):
  """Odds ratio preference optimization (ORPO: Hong et al., 2024, eq. 6 and 7).

    p_i   = l_i / n_i,   l_i = sum_t m_it log pi_theta(y_it)
    odd_i = p_i - log(1 - e^p_i)                        log-odds of the response's mean token
    loss  = mean over pairs of  -p_w - weight log sigmoid(odd_w - odd_l)

  The first term imitates the better response, averaged over pairs; TRL averages it over the tokens
  of the batch, those of the prompts too. The metrics `rewards/*` are of weight p_i, as in TRL.
  Log-odds are cut at +20, where the policy is certain.

  Args:
    weight: lambda, of the odds ratio beside the imitation; 0 leaves imitation alone.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  p = _mean_logps(logps, mask)
  below_one = jnp.minimum(p, -jnp.exp(-LARGEST_LOG_RATIO))  # at p = 0 the odds are infinite
  odds = below_one - jnp.log(-jnp.expm1(below_one))
  imitation, _ = sides_of_pairs(-p)
  weights = pair_weights(rewards, mask, pairs)
  odds_ratio = -jax.nn.log_sigmoid(pair_differences(odds))
  loss = pair_mean(imitation + weight * odds_ratio, weights)
  return loss, preference_metrics(logps, p, weights, mask, weight)


def _mean_logps(logps: PerToken, mask: Mask) -> PerResponse:
  return sequence_sum(logps, mask) / lengths(mask)
