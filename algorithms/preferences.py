"""Which responses of a group are compared, and on what scale: from K scores to weighted pairs."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from algorithms.advantages import is_scored
from algorithms.divergences import LARGEST_LOG_RATIO
from algorithms.reductions import sequence_sum
from algorithms.shapes import Mask, Metrics, PerResponse, PerToken, Scalar

PairWeights = Float[Array, "B K K"]
PairRule = Literal["best_worst", "all"]
Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]

# --- pairs --------------------------------------------------------------------------------------


def is_present(rewards: PerResponse, mask: Mask) -> Bool[Array, "B K"]:
  """Whether a response has a token and a score; without both it takes part in no comparison."""
  return mask.any(axis=-1) & is_scored(rewards)


def pair_weights(rewards: PerResponse, mask: Mask, pairs: PairRule = "best_worst") -> PairWeights:
  """weights[b, w, l] > 0 where response w of group b is compared, as the better, with response l.

  "best_worst": the best response against the worst, one pair a group. Several responses that share
    the best (or worst) score share that one pair's weight equally, so the order of the responses
    never matters. With K = 2 this is the preference pair.
  "all": every two responses with unequal scores, weight 1 each.

  Ties weigh 0 under both rules, and so does a response without tokens or without a score (NaN).
  """
  present = is_present(rewards, mask)
  if pairs == "all":
    better = rewards[:, :, None] > rewards[:, None, :]
    return (better & present[:, :, None] & present[:, None, :]).astype(rewards.dtype)

  best = jnp.where(present, rewards, -jnp.inf).max(axis=1, keepdims=True)
  worst = jnp.where(present, rewards, jnp.inf).min(axis=1, keepdims=True)
  untied = best > worst
  chosen = (present & untied & (rewards == best)).astype(rewards.dtype)
  rejected = (present & untied & (rewards == worst)).astype(rewards.dtype)
  weights = chosen[:, :, None] * rejected[:, None, :]
  return weights / jnp.maximum(weights.sum(axis=(1, 2), keepdims=True), 1)


def sides_of_pairs(x: PerResponse) -> tuple[Float[Array, "B K 1"], Float[Array, "B 1 K"]]:
  """(x_w, x_l), to be broadcast to all pairs: x[b, w, 0] of the better, x[b, 0, l] of the worse."""
  return x[:, :, None], x[:, None, :]


def pair_differences(x: PerResponse) -> PairWeights:
  """differences[b, w, l] = x[b, w] - x[b, l]."""
  return x[:, :, None] - x[:, None, :]


def pair_mean(x: PairWeights, weights: PairWeights) -> Float[Array, ""]:
  """The mean of x over the pairs; 0, with gradient 0, when every group is a tie."""
  return jnp.where(weights > 0, x * weights, 0.0).sum() / total_weight(weights)


def means_of_pairs(
  x: PerResponse, weights: PairWeights
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """The mean of x over the better responses of the pairs, and over the worse ones."""
  total = total_weight(weights)
  return (x * weights.sum(axis=2)).sum() / total, (x * weights.sum(axis=1)).sum() / total


def total_weight(weights: PairWeights) -> Float[Array, ""]:
  """The number of pairs, to divide by: 1 when there is none."""
  total = weights.sum()
  return jnp.where(total > 0, total, 1.0)


# --- the scale of a comparison --------------------------------------------------------------------


def log_ratios(logps: PerToken, ref_logps: PerToken, mask: Mask) -> PerResponse:
  """h_i = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it)), in nats a response."""
  return sequence_sum(logps - ref_logps, mask)


def divergence_scores(
  h: PerResponse, divergence: Divergence = "reverse_kl", alpha: Scalar = 0.5
) -> PerResponse:
  """f'(e^h): the implied reward, over beta, under f-divergence regularisation (f-DPO).

  DPO derives its implied reward beta h from a reverse-KL penalty. Under another f-divergence of
  pi_theta from pi_ref it is beta f'(pi_theta / pi_ref) (Wang et al., 2024, "Beyond reverse KL"):

    reverse_kl   h
    forward_kl   1 - e^-h
    js           log 2 + log sigmoid(h)          Jensen-Shannon
    alpha        (e^((alpha-1) h) - 1) / (alpha - 1),  alpha != 1; its limit alpha -> 1 is h

  Exponents are cut at +-20, where float32 still squares them.
  """
  if divergence == "forward_kl":
    return 1 - jnp.exp(jnp.clip(-h, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))
  if divergence == "js":
    return jnp.log(2.0) + jax.nn.log_sigmoid(h)
  if divergence == "alpha":
    a = alpha - 1
    safe = jnp.where(jnp.abs(a) < 1e-6, 1.0, a)  # the limit is taken below, without dividing by 0
    exponent = jnp.clip(safe * h, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return jnp.where(jnp.abs(a) < 1e-6, h, jnp.expm1(exponent) / safe)
  return h


def preference_metrics(
  logps: PerToken, h: PerResponse | PairWeights, weights: PairWeights, mask: Mask, beta: Scalar
) -> Metrics:
  """TRL's names. `rewards/*` are the implicit rewards beta h, not the rewards of the task.

  h is one number a response, or h[b, i, j]: that of response i when it is compared with j.
  """
  h_of_better = jnp.broadcast_to(h if h.ndim == 3 else h[:, :, None], weights.shape)
  h_of_worse = h_of_better.swapaxes(1, 2)
  logps_chosen, logps_rejected = means_of_pairs(sequence_sum(logps, mask), weights)
  return {
    "rewards/chosen": beta * pair_mean(h_of_better, weights),
    "rewards/rejected": beta * pair_mean(h_of_worse, weights),
    "rewards/margins": beta * pair_mean(h_of_better - h_of_worse, weights),
    "rewards/accuracies": pair_mean((h_of_better > h_of_worse).astype(h.dtype), weights),
    "logps/chosen": logps_chosen,
    "logps/rejected": logps_rejected,
  }
