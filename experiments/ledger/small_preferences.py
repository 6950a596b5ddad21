"""Preference pairs, reward models and PPO in the small world.

Two responses of a *writer* are judged by the graded reward; the better one is preferred, and a
share of the labels, the noise, is turned round. DPO trains on such pairs, a reward model learns
them, and PPO is rewarded by the reward model, on responses of its own.
"""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.ledger.small_training import Arrays, Setup, Trained, arrays_of, log_probs
from experiments.ledger.small_world import MODEL, graded_reward, write
from models.groups import Groups
from models.scalar_head import HEAD, response_scores, token_values, with_scalar_head
from models.transformer import Params

PAIRS_A_STEP = 32
"""
"""


def write_preferences(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: dict[str, Any]
) -> tuple[Groups, Arrays]:
  """Pairs by the policy data["writer"], rewarded 1 and 0, turned round by a share data["noise"]."""
  del writer
  for_groups, for_noise = jax.random.split(key)
  groups = write(data["writer"], for_groups, setup.prompts, 2)
  graded = graded_reward(groups.prompts, groups.responses)
  other = graded[:, ::-1]
  turned = jax.random.bernoulli(for_noise, data["noise"], (setup.prompts, 1))
  preferred = jnp.where(turned, graded < other, graded > other)
  labels = jnp.where(graded == other, 0.5, preferred.astype(jnp.float32))
  arrays = arrays_of(setup, groups, reference) | {"rewards": labels}
  return groups, arrays


def scores(trained: Trained, groups: Groups) -> Arrays:
  return {"scores": response_scores(MODEL, trained["params"], groups)}


def write_for_reward_model(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: Params
) -> tuple[Groups, Arrays]:
  """Responses of the policy itself, rewarded by the reward model `data`, valued by its critic."""
  groups = write(writer["params"], key, setup.prompts, setup.group_size)
  arrays = arrays_of(setup, groups, reference)
  arrays["rewards"] = response_scores(MODEL, data, groups)
  arrays["old_values"] = token_values(MODEL, writer["critic"], groups)
  return groups, arrays


def log_probs_and_values(trained: Trained, groups: Groups) -> Arrays:
  return log_probs(trained, groups) | {"values": token_values(MODEL, trained["critic"], groups)}


@jax.jit
def normalized(reward_model: Params, base: Params) -> Params:
  """The reward model with scores of mean 0 and spread 1 on the base policy's responses."""
  found = response_scores(MODEL, reward_model, write(base, jax.random.key(7), 256, 2))
  head = reward_model[HEAD]
  return {**reward_model, HEAD: head.at[-1].add(-found.mean()) / found.std()}


def untrained(base: Params) -> Params:
  """Where a reward model starts: the base policy with a head of zeros."""
  return with_scalar_head(base)


@jax.jit
def score_all(snapshots: Params, reward_model: Params) -> jax.Array:
  """What the reward model thinks of policies, mean over the evaluation words."""

  def of(params):
    return response_scores(MODEL, reward_model, write(params, jax.random.key(2**20), 256, 1)).mean()

  return jax.lax.map(of, snapshots)
