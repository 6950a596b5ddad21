"""Kahneman-Tversky Optimization: each response is desirable or not by itself; nothing is paired."""

import jax
import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.preferences import is_present, log_ratios
from algorithms.reductions import sequence_sum
from algorithms.shapes import Beta, Mask, PerResponse, PerToken, Scalar, Weight


@loss_function
def kto(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  desirable_weight: Weight = 1.0,
  undesirable_weight: Weight = 1.0,
  threshold: Scalar = 0.5,
):
  """Kahneman-Tversky Optimization (KTO: Ethayarajh et al., 2024, eq. 7). No pairs: K = 1 will do.

    h_i    = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it)),   r_i = beta h_i
    z0     = beta max(0, mean of h over the batch)      detached
    loss_i = w_d (1 - sigmoid(r_i - z0))                where reward_i > threshold: desirable
             w_u (1 - sigmoid(z0 - r_i))                elsewhere
    loss   = mean over all responses of loss_i

  z0 / beta estimates KL(policy || reference). The paper (and TRL) take it on mismatched pairs of a
  prompt and another prompt's response; this uses the batch's own responses, which costs no second
  forward pass and is higher when the policy has learnt these very responses. A response without
  tokens or score is left out of both means.

  Args:
    rewards: only whether they are above the threshold matters; ties mean nothing here.
    beta: strength of the KL to the reference: larger stays closer.
    desirable_weight, undesirable_weight: w_d and w_u; the paper balances w_d n_d with w_u n_u.
    threshold: rewards above it are desirable.
  """
  h = log_ratios(logps, ref_logps, mask)
  present = is_present(rewards, mask)
  kl = jnp.maximum(_mean_where(h, present), 0.0)
  from_z0 = beta * (h - jax.lax.stop_gradient(kl))
  desirable = rewards > threshold
  value_of_desirable = desirable_weight * (1 - jax.nn.sigmoid(from_z0))
  value_of_undesirable = undesirable_weight * (1 - jax.nn.sigmoid(-from_z0))
  loss = _mean_where(jnp.where(desirable, value_of_desirable, value_of_undesirable), present)

  logps_sum = sequence_sum(logps, mask)
  chosen, rejected = present & desirable, present & ~desirable
  return loss, {
    "rewards/chosen": beta * _mean_where(h, chosen),
    "rewards/rejected": beta * _mean_where(h, rejected),
    "rewards/margins": beta * (_mean_where(h, chosen) - _mean_where(h, rejected)),
    "rewards/accuracies": _mean_where(((from_z0 > 0) == desirable).astype(h.dtype), present),
    "logps/chosen": _mean_where(logps_sum, chosen),
    "logps/rejected": _mean_where(logps_sum, rejected),
    "kl": kl,
  }


def _mean_where(x: PerResponse, where: jax.Array) -> jax.Array:
  """The mean of x over the responses where this holds; 0 if there is none."""
  return jnp.where(where, x, 0.0).sum() / jnp.maximum(where.sum(), 1)
