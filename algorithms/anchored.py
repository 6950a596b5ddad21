"""Preference losses on pairs that hold responses to a fixed point, not only to each other.

A loss of the margin alone cannot say where the two end up: both log-probs may fall, as long as the
worse falls faster. Here a response has a term of its own. With h_i = sum_t m_it (log pi_theta(y_it)
- log pi_ref(y_it)), r_i = beta h_i is the implicit reward, 0 at the reference.
"""

import jax

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  PairRule,
  log_ratios,
  pair_mean,
  pair_weights,
  preference_metrics,
  sides_of_pairs,
)
from algorithms.shapes import Beta, Mask, PerResponse, PerToken


@loss_function
def nca_pair(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Noise contrastive alignment on pairs (NCA: Chen et al., 2024, section 4.1).

    loss = mean over pairs of  -log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l)

  Args:
    beta: strength of the KL to the reference: larger stays closer (alpha in the paper, 0.01 there).
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  r_w, r_l = sides_of_pairs(beta * h)
  positive = -jax.nn.log_sigmoid(r_w)
  negative = -0.5 * jax.nn.log_sigmoid(-r_w) - 0.5 * jax.nn.log_sigmoid(-r_l)
  weights = pair_weights(rewards, mask, pairs)
  return pair_mean(positive + negative, weights), preference_metrics(logps, h, weights, mask, beta)


@loss_function
def bco_pair(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Binary classifier optimization on pairs (BCO: Jung et al., 2024, section 4).

    loss = mean over pairs of  -log sigmoid(r_w) - log sigmoid(-r_l)

  The paper subtracts a reward shift, a running mean of the rewards, inside both sigmoids. As in TRL
  it is left out here, which is shift 0.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  r_w, r_l = sides_of_pairs(beta * h)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-jax.nn.log_sigmoid(r_w) - jax.nn.log_sigmoid(-r_l), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def sppo_hard(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Self-play preference optimization with hard labels (SPPO: Wu et al., 2024, eq. 4.7).

    loss = mean over pairs of  (h_w - 1 / (2 beta))^2 + (h_l + 1 / (2 beta))^2

  The paper's target is eta (P(y beats pi) - 1/2) with eta = 1 / beta, where a preference model
  estimates P; here P is 1 for the better and 0 for the worse response.

  Args:
    beta: strength of the KL to the reference: h is pulled to +-1 / (2 beta).
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  h_w, h_l = sides_of_pairs(h)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean((h_w - 1 / (2 * beta)) ** 2 + (h_l + 1 / (2 * beta)) ** 2, weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def apo_zero(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Anchored preference optimization, better responses up and worse ones down (APO-zero).

    loss = mean over pairs of  1 - sigmoid(r_w) + sigmoid(r_l)

  D'Oosterlinck et al., 2024, eq. 7: for data whose better responses beat the policy's own.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  r_w, r_l = sides_of_pairs(beta * h)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(1 - jax.nn.sigmoid(r_w) + jax.nn.sigmoid(r_l), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def apo_down(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Anchored preference optimization, both responses down and the worse one further (APO-down).

    loss = mean over pairs of  sigmoid(r_w) + 1 - sigmoid(r_w - r_l)

  D'Oosterlinck et al., 2024, eq. 8: for data whose better responses are worse than the policy's
  own. The second term's +1 is a constant, as TRL has it.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  r_w, r_l = sides_of_pairs(beta * h)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(jax.nn.sigmoid(r_w) + 1 - jax.nn.sigmoid(r_w - r_l), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)
