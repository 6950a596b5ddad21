"""Direct Preference Optimization, and the losses that put another curve on the same margin.

With h_i = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it)) and z = beta (h_w - h_l), all of these
are a mean over pairs of some f(z). `divergence` replaces h by another scale (f-DPO): see
`preferences.divergence_scores`.
"""

import jax

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  Divergence,
  PairRule,
  divergence_scores,
  log_ratios,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
)
from algorithms.shapes import Beta, Mask, PerResponse, PerToken, Scalar, Smoothing


@loss_function
def dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: Smoothing = 0.0,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Direct Preference Optimization (Rafailov et al., 2023, eq. 7; smoothing: Mitchell, 2023, cDPO).

    h_i  = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it))        log-ratio to the reference
    z    = beta (h_w - h_l)                                          margin of a pair
    loss = mean over pairs of  -(1 - s) log sigmoid(z) - s log sigmoid(-z)

  Args:
    rewards: their order makes the pairs (see `preferences.pair_weights`), their size does nothing.
    beta: strength of the KL to the reference: larger stays closer. (Some texts write 1/beta.)
    label_smoothing: s, the share of pairs assumed to be labelled the wrong way round, in [0, 0.5).
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence: "reverse_kl", "forward_kl", "js" or "alpha": the penalty that the margin comes from.
    alpha: of divergence="alpha"; 1 is reverse_kl.
  """
  h = log_ratios(logps, ref_logps, mask)
  z = beta * pair_differences(divergence_scores(h, divergence, alpha))
  s = label_smoothing
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-(1 - s) * jax.nn.log_sigmoid(z) - s * jax.nn.log_sigmoid(-z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)
