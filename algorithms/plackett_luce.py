"""DPO on whole rankings: the Plackett-Luce model of K responses, instead of their pairs."""

import jax
import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  log_ratios,
  pair_differences,
  pair_weights,
  preference_metrics,
)
from algorithms.shapes import Beta, Mask, PerResponse, PerToken


@loss_function
def plackett_luce_dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
):
  """DPO under the Plackett-Luce model (Rafailov et al., 2023, appendix A.3). K = 2 is `dpo`.

    loss = mean over groups of  -sum_i log [e^{beta h_i} / sum_j e^{beta h_j}],
           j over i itself and the responses with r_j < r_i

  Without ties this is the paper's sum over ranks: the k-th best is drawn from those not yet drawn.
  Responses of equal reward are not ordered among themselves: each of them is drawn from itself and
  all worse ones. Absent and unscored responses take no part, and groups in which all rewards are
  equal do not count in the mean. The metrics are over all pairs of unequal rewards.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
  """
  h = log_ratios(logps, ref_logps, mask)
  beats = pair_weights(rewards, mask, "all")
  field = (beats > 0) | jnp.eye(h.shape[1], dtype=bool)  # [b, i, j]: i is drawn from these j
  margins = jnp.where(field, beta * pair_differences(h), jnp.inf)
  surprise = jax.nn.logsumexp(-margins, axis=2)  # 0 where there is nobody to beat
  untied = beats.any(axis=(1, 2))
  loss = surprise.sum() / jnp.maximum(untied.sum(), 1)
  return loss, preference_metrics(logps, h, beats, mask, beta)
