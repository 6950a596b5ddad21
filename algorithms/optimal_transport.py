"""Alignment via optimal transport (AOT): compare the distributions of scores, not their pairs.

Sorting both sides and comparing rank by rank is the optimal transport of one dimension. The loss
asks that the better responses' distribution of scores lies above the other (first-order stochastic
dominance) over the whole batch. Melnyk et al., 2024, section 3; the logistic cost is TRL's default.

One pair a group: where several responses share the best (or worst) score, their mean stands in.
Groups of equal rewards take no part in the sort.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.loss_function import loss_function
from algorithms.preferences import PairWeights, log_ratios, pair_weights, preference_metrics
from algorithms.reductions import sequence_sum
from algorithms.shapes import Beta, Mask, PerResponse, PerToken, Scalar, Smoothing

PerGroup = Float[Array, " B"]


@loss_function
def aot(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: Smoothing = 0.0,
):
  """AOT on pairs: the policy's margins against the reference's margins, each sorted by itself.

    delta_(k) = (l_w - l_l)_(k) - (l_w^ref - l_l^ref)_(k),   (k) = k-th smallest of the batch
    loss      = mean_k  -(1 - s) log sigmoid(beta delta_(k)) - s log sigmoid(-beta delta_(k))

  With one group, or where policy and reference sort the groups alike, it is `dpo`.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    label_smoothing: s, the share of pairs assumed to be labelled the wrong way round, in [0, 0.5).
  """
  weights = pair_weights(rewards, mask)
  chosen, rejected = _sides_of_groups(sequence_sum(logps, mask), weights)
  ref_chosen, ref_rejected = _sides_of_groups(sequence_sum(ref_logps, mask), weights)
  margins, ref_margins = chosen - rejected, ref_chosen - ref_rejected
  loss = _dominance(margins, ref_margins, weights, beta, label_smoothing)
  h = log_ratios(logps, ref_logps, mask)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def aot_unpaired(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: Smoothing = 0.0,
):
  """AOT without pairs: the better responses' log-ratios against the worse ones', each sorted.

    delta_(k) = (h_w)_(k) - (h_l)_(k),   (k) = k-th smallest of the batch: w and l of other prompts
    loss      = mean_k  -(1 - s) log sigmoid(beta delta_(k)) - s log sigmoid(-beta delta_(k))

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    label_smoothing: s, the share of pairs assumed to be labelled the wrong way round, in [0, 0.5).
  """
  h = log_ratios(logps, ref_logps, mask)
  weights = pair_weights(rewards, mask)
  chosen, rejected = _sides_of_groups(h, weights)
  loss = _dominance(chosen, rejected, weights, beta, label_smoothing)
  return loss, preference_metrics(logps, h, weights, mask, beta)


def _sides_of_groups(x: PerResponse, weights: PairWeights) -> tuple[PerGroup, PerGroup]:
  """The mean of x over each group's best responses, and over its worst; 0 in a tied group."""
  return (x * weights.sum(axis=2)).sum(axis=1), (x * weights.sum(axis=1)).sum(axis=1)


def _dominance(
  above: PerGroup, below: PerGroup, weights: PairWeights, beta: Scalar, label_smoothing: Scalar
) -> Float[Array, ""]:
  """How far the distribution of `above` is from lying over that of `below`, over untied groups."""
  untied = weights.any(axis=(1, 2))
  count = untied.sum()

  def ordered(x: PerGroup) -> PerGroup:  # the untied groups first, from small to large
    return x[jnp.lexsort((jax.lax.stop_gradient(x), ~untied))]

  z = beta * (ordered(above) - ordered(below))
  s = label_smoothing
  cost = -(1 - s) * jax.nn.log_sigmoid(z) - s * jax.nn.log_sigmoid(-z)
  return jnp.where(jnp.arange(z.size) < count, cost, 0.0).sum() / jnp.maximum(count, 1)
