"""The networks' functions, jitted and sharded: log-probs, values and scores.

One compilation serves every run of this process with the same model, mesh and shapes. The update is
compiled in `update.py`, the sampler in `compiled_sampling.py`.
"""

from functools import cache

from jax.sharding import Mesh

from models import scalar_head
from models.log_probs import token_log_probs
from models.partitioning import batch_sharding, replicated
from models.transformer import ModelConfig
from training.population.shared import Shared, shared_on


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


@cache
def compiled_scores(model: ModelConfig, mesh: Mesh) -> Shared:
  """(reward model's params, groups) -> scores [B, K], jitted, prompts sharded."""
  rows = batch_sharding(mesh)

  def run(params, groups):
    return scalar_head.response_scores(model, params, groups)

  return shared_on(mesh, run, (None, rows), rows)
