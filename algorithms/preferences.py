"""Which responses of a group are compared: from K scores to weighted (better, worse) pairs."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.shapes import Mask, PerResponse

PairWeights = Float[Array, "B K K"]
PAIR_RULES = ("best_worst", "all")


def pair_weights(rewards: PerResponse, mask: Mask, pairs: str = "best_worst") -> PairWeights:
  """weights[b, w, l] > 0 where response w of group b is compared, as the better, with response l.

  "best_worst": the best response against the worst, one pair a group. Several responses that share
    the best (or worst) score share that one pair's weight equally, so the order of the responses
    never matters. With K = 2 this is the preference pair.
  "all": every two responses with unequal scores, weight 1 each.

  Ties weigh 0 under both rules, and so does a response without tokens (padding of the group).
  """
  if pairs not in PAIR_RULES:
    raise ValueError(f"pairs={pairs!r} is no pair rule; choose one of {', '.join(PAIR_RULES)}")
  present = mask.any(axis=-1)
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


def pair_differences(x: PerResponse) -> PairWeights:
  """differences[b, w, l] = x[b, w] - x[b, l]."""
  return x[:, :, None] - x[:, None, :]


def pair_mean(x: PairWeights, weights: PairWeights) -> Float[Array, ""]:
  """The mean of x over the pairs; 0, with gradient 0, when every group is a tie."""
  return (x * weights).sum() / total_weight(weights)


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
