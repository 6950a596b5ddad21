"""Reward models: a score a response, trained to order the responses as the rewards do."""

import jax
import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  PairRule,
  is_present,
  means_of_pairs,
  pair_differences,
  pair_mean,
  pair_weights,
  sides_of_pairs,
)
from algorithms.shapes import Mask, PerResponse, Weight


@loss_function
def bradley_terry(
  scores: PerResponse,
  rewards: PerResponse,
  mask: Mask,
  *,
  margin: Weight = 0.0,
  centering: Weight = 0.0,
  pairs: PairRule = "best_worst",
):
  """The Bradley-Terry loss of a reward model (Ouyang et al., 2022, eq. 1).

    loss = mean over pairs of  -log sigmoid(s_w - s_l - margin (r_w - r_l))
                               + centering (s_w + s_l)^2

  The margin is Llama 2's (Touvron et al., 2023, eq. 2), the second term that of Eisenstein et al.,
  2023, eq. 2: only differences of scores mean anything, and it puts their mean at 0.

  Args:
    scores: s, of the model that is trained; the only argument with a gradient.
    rewards: r, the labels: their order makes the pairs, their size only the margin.
    mask: tells which responses are present (any token), nothing more.
    margin: by how much a score must differ for each unit of reward; 0 turns it off.
    centering: weight of the term that centers the scores; TRL recommends 0.01, 0 turns it off.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  present = is_present(rewards, mask)
  s, r = jnp.where(present, scores, 0.0), jnp.where(present, rewards, 0.0)
  s_w, s_l = sides_of_pairs(s)
  order = -jax.nn.log_sigmoid(s_w - s_l - margin * pair_differences(r))
  weights = pair_weights(rewards, mask, pairs)
  loss = pair_mean(order + centering * (s_w + s_l) ** 2, weights)
  chosen, rejected = means_of_pairs(s, weights)
  return loss, {
    "accuracy": pair_mean((s_w > s_l).astype(s.dtype), weights),
    "margin": pair_mean(s_w - s_l, weights),
    "scores/chosen": chosen,
    "scores/rejected": rejected,
  }
