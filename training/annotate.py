"""The arrays of a batch that networks compute before it is trained on, if the loss asks for them.

They stay what they are over all inner steps: the reference's log-probs, the critic's values at the
time of collection, the trainer's own log-probs where the loss corrects for the sampler's.
"""

import dataclasses
import inspect
from functools import cache
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from models import scalar_head
from models.groups import Groups
from models.log_probs import token_log_probs
from models.partitioning import batch_sharding, replicated
from models.transformer import ModelConfig, Params
from training import setup
from training.population.shared_functions import Shared, shared_on
from training.setup import Parts
from training.state import TrainState


def words_of(config: ConfigDict) -> frozenset[str]:
  """The arrays that the loss asks for. An optional `ref_logps` is needed when beta is not 0."""
  parameters = inspect.signature(setup.loss_of(config)).parameters
  words = {name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY}
  is_optional = "ref_logps" in words and parameters["ref_logps"].default is None
  if is_optional and config.algorithm.get("beta", 1.0) == 0:
    words.remove("ref_logps")
  return frozenset(words)


def annotate(
  parts: Parts,
  words: frozenset[str],
  state: TrainState,
  reference: Params | None,
  groups: Groups,
) -> Groups:
  """The groups with those of `words` that are computed once a batch."""
  temperature = float(parts.config.sampling.temperature)
  log_probs = compiled_log_probs(parts.model, parts.mesh)
  added: dict[str, Any] = {}
  if "ref_logps" in words and reference is not None:
    added["ref_logps"] = log_probs(reference, groups, temperature)[0]
  if "sampler_logps" in words:
    added["sampler_logps"] = groups.old_logps
    added["old_logps"] = log_probs(state.params, groups, temperature)[0]
  if "old_values" in words:
    added["old_values"] = compiled_values(parts.model, parts.mesh)(state.critic, groups)
  if "reward_baseline" in words:
    added["reward_baseline"] = jnp.full_like(groups.rewards, float(state.reward_mean))
  return dataclasses.replace(groups, **added)


@cache
def compiled_log_probs(model: ModelConfig, mesh: Mesh) -> Shared:
  """(params, groups, temperature) -> log-probs and entropy [B, K, T], jitted, prompts sharded."""

  def run(params, groups, temperature):
    return token_log_probs(model, params, groups, temperature)

  rows = batch_sharding(mesh)
  shardings = (None, rows, replicated(mesh))
  return shared_on(mesh, run, shardings, rows)


@cache
def compiled_values(model: ModelConfig, mesh: Mesh) -> Shared:
  """(critic's params, groups) -> values [B, K, T], jitted, prompts sharded."""

  def run(params, groups):
    return scalar_head.token_values(model, params, groups)

  rows = batch_sharding(mesh)
  return shared_on(mesh, run, (None, rows), rows)
