"""Direct Preference Optimization and its relatives: losses on pairs of responses to one prompt."""

import jax

from algorithms.policy_gradient import sequence_sum
from algorithms.preferences import (
  PairWeights,
  means_of_pairs,
  pair_differences,
  pair_mean,
  pair_weights,
)
from algorithms.shapes import Mask, Metrics, PerResponse, PerToken, Scalar, check_shapes


def dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Scalar = 0.1,
  label_smoothing: Scalar = 0.0,
  pairs: str = "best_worst",
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
  """
  check_shapes(logps=logps, ref_logps=ref_logps, rewards=rewards, mask=mask)
  ref_logps = jax.lax.stop_gradient(ref_logps)
  h = sequence_sum(logps - ref_logps, mask)
  z = beta * pair_differences(h)
  s = label_smoothing
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(-(1 - s) * jax.nn.log_sigmoid(z) - s * jax.nn.log_sigmoid(-z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


def preference_metrics(
  logps: PerToken, h: PerResponse, weights: PairWeights, mask: Mask, beta: Scalar
) -> Metrics:
  """TRL's names. `rewards/*` are DPO's implicit rewards beta h, not the rewards of the task."""
  h_chosen, h_rejected = means_of_pairs(h, weights)
  logps_chosen, logps_rejected = means_of_pairs(sequence_sum(logps, mask), weights)
  return {
    "rewards/chosen": beta * h_chosen,
    "rewards/rejected": beta * h_rejected,
    "rewards/margins": beta * (h_chosen - h_rejected),
    "rewards/accuracies": pair_mean((pair_differences(h) > 0).astype(h.dtype), weights),
    "logps/chosen": logps_chosen,
    "logps/rejected": logps_rejected,
  }
