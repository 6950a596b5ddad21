"""DPO with weights: on the tokens of a response (LD-DPO), or on whole pairs (WPO)."""

import jax
import jax.numpy as jnp

from algorithms.divergences import LARGEST_LOG_RATIO
from algorithms.loss_function import loss_function
from algorithms.preferences import (
  PairRule,
  PairWeights,
  log_ratios,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
  sides_of_pairs,
)
from algorithms.reductions import lengths, sequence_sum
from algorithms.shapes import Beta, Fraction, Mask, PerResponse, PerToken


@loss_function
def ld_dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  ld_alpha: Fraction = 0.5,
  pairs: PairRule = "best_worst",
):
  """Length-desensitised DPO (LD-DPO: Liu et al., 2024): the longer response's tail weighs less.

    n     = min(n_w, n_l)                                  the length that both have
    h'_i  = sum_{t <= n} d_it + a sum_{t > n} d_it,        d_it = log pi_theta - log pi_ref
    loss  = mean over pairs of  -log sigmoid(beta (h'_w - h'_l))

  n belongs to the pair: in a group of K > 2 a response has another tail against each other one. The
  metrics `rewards/*` are of h', too.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    ld_alpha: a, the weight of the tokens beyond the shared length; 1 is `dpo`, 0 leaves them out.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  whole = log_ratios(logps, ref_logps, mask)[:, :, None]
  h = ld_alpha * whole + (1 - ld_alpha) * _over_shared_length(logps - ref_logps, mask)
  z = beta * (h - h.swapaxes(1, 2))
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-jax.nn.log_sigmoid(z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def wpo(
  logps: PerToken,
  ref_logps: PerToken,
  log_sum_sq_probs: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """Weighted preference optimization (WPO: Zhou et al., 2024, eq. 2, "sampled alignment").

    v_i  = exp(1/n_i sum_t (log pi_theta(y_it) - log sum_v pi_theta(v)^2))    detached
    loss = mean over pairs of  -v_w v_l log sigmoid(z),   z = beta (h_w - h_l)

  Pairs that the policy itself could have drawn count more, so that an offline data set acts like an
  on-policy one. sum_v pi(v)^2 is the mean probability of a token drawn from pi: v_i is about 1 for
  the policy's own responses. The mean divides by the number of pairs, not by the sum of v_w v_l.

  Args:
    log_sum_sq_probs: log sum_v pi_theta(v)^2 before each token.
    beta: strength of the KL to the reference: larger stays closer.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h = log_ratios(logps, ref_logps, mask)
  z = beta * pair_differences(h)
  log_v = sequence_sum(logps - log_sum_sq_probs, mask) / lengths(mask)
  v = jax.lax.stop_gradient(jnp.exp(jnp.minimum(log_v, LARGEST_LOG_RATIO)))
  v_w, v_l = sides_of_pairs(v)
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-v_w * v_l * jax.nn.log_sigmoid(z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


def _over_shared_length(x: PerToken, mask: Mask) -> PairWeights:
  """sums[b, i, j] = the sum of x over the first min(n_i, n_j) tokens of response i."""
  place = jnp.cumsum(mask, axis=-1)[:, :, None, :]  # 1 at a response's first token
  n_other = mask.sum(axis=-1)[:, None, :, None]
  return jnp.where(mask[:, :, None, :] & (place <= n_other), x[:, :, None, :], 0.0).sum(axis=-1)
