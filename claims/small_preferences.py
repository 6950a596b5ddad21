"""Preference pairs, reward models and PPO in the small world.

A *writer* answers each word twice. The response with the higher graded reward is preferred, and a
share of these labels, the noise, is flipped. A reward model learns the labels, DPO trains on the
same pairs, and PPO trains on responses of its own that the reward model scores.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.dpo import dpo
from algorithms.ppo import ppo
from algorithms.reward_model import bradley_terry
from claims.small_training import Arrays, Setup, Trained, arrays_of, log_probs
from claims.small_world import EVALUATION_WORDS, MODEL, graded_reward, write
from models.groups import Groups
from models.scalar_head import HEAD, response_scores, token_values
from models.transformer import Params

PAIRS = 32  # a step


def write_preferences(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: dict[str, Any]
) -> tuple[Groups, Arrays]:
  """Writes pairs with the policy data["writer"], and flips a share data["noise"] of the labels."""
  del writer
  for_groups, for_noise = jax.random.split(key)
  groups = write(data["writer"], for_groups, setup.prompts, 2)
  graded = graded_reward(groups.prompts, groups.responses)
  turned = jax.random.bernoulli(for_noise, data["noise"], (setup.prompts, 1))
  labels = jnp.where(turned, graded[:, ::-1], graded)
  return groups, arrays_of(setup, groups, reference) | {"rewards": labels}


def write_for_reward_model(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: Params
) -> tuple[Groups, Arrays]:
  """Writes the policy's own responses, scored by the reward model `data`, valued by the critic."""
  groups = write(writer["params"], key, setup.prompts, setup.group_size)
  arrays = arrays_of(setup, groups, reference)
  arrays["rewards"] = response_scores(MODEL, data, groups)
  arrays["old_values"] = token_values(MODEL, writer["critic"], groups)
  return groups, arrays


def scores(trained: Trained, groups: Groups) -> Arrays:
  return {"scores": response_scores(MODEL, trained["params"], groups)}


def log_probs_and_values(trained: Trained, groups: Groups) -> Arrays:
  return log_probs(trained, groups) | {"values": token_values(MODEL, trained["critic"], groups)}


REWARD_MODEL = Setup(
  PAIRS, 2, losses=(("bradley_terry", bradley_terry),), collect=write_preferences, network=scores
)
DPO = Setup(PAIRS, 2, losses=(("dpo", partial(dpo, beta=1.0)),), collect=write_preferences)
PPO = Setup(
  losses=(("ppo", partial(ppo, beta=0.5)), ("loose ppo", partial(ppo, beta=0.05))),
  collect=write_for_reward_model,
  network=log_probs_and_values,
)


@jax.jit
def normalized(reward_model: Params, base: Params) -> tuple[Params, Float[Array, ""]]:
  """Scales the scores to mean 0 and std 1 on the base policy's responses; returns the accuracy too.

  The accuracy is on pairs of these responses, by their graded rewards; ties are left out.
  """
  groups = write(base, jax.random.key(2**21), 2 * EVALUATION_WORDS, 2)
  found = response_scores(MODEL, reward_model, groups)
  graded = graded_reward(groups.prompts, groups.responses)
  agrees = (found[:, 0] > found[:, 1]) == (graded[:, 0] > graded[:, 1])
  accuracy = agrees.mean(where=graded[:, 0] != graded[:, 1])
  head = reward_model[HEAD].at[-1].add(-found.mean()) / found.std()
  return {**reward_model, HEAD: head}, accuracy


@jax.jit
def score_all(snapshots: Params, reward_model: Params) -> Float[Array, "n"]:
  """Returns the reward model's mean score of each policy, on the words of `evaluate_all`."""

  def of(params: Params) -> Float[Array, ""]:
    groups = write(params, jax.random.key(2**20), EVALUATION_WORDS, 1)
    return response_scores(MODEL, reward_model, groups).mean()

  return jax.lax.map(of, snapshots)
