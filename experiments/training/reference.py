"""The frozen reference policy: its log-probs of a batch, for the losses that ask for them."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments.training import setup
from models.groups import Groups
from models.log_probs import token_log_probs
from models.partitioning import batch_sharding, replicated
from models.transformer import ModelConfig, Params


def wants_reference(config: ConfigDict) -> bool:
  """Does the loss need ref_logps? An optional one is left out when beta, which scales it, is 0."""
  parameters = inspect.signature(setup.loss_of(config)).parameters
  if "ref_logps" not in parameters:
    return False
  is_optional = parameters["ref_logps"].default is None
  return not is_optional or config.algorithm.get("beta", 1.0) != 0


def add_reference(
  model: ModelConfig,
  mesh: Mesh,
  reference: Params,
  groups: Groups,
  temperature: float,
) -> Groups:
  """The groups with `ref_logps`."""
  ref_logps, _ = compiled_log_probs(model, mesh)(reference, groups, temperature)
  return dataclasses.replace(groups, ref_logps=ref_logps)


@cache
def compiled_log_probs(model: ModelConfig, mesh: Mesh) -> Callable:
  """(params, groups, temperature) -> log-probs and entropy [B, K, T], jitted, prompts sharded."""

  def run(params, groups, temperature):
    return token_log_probs(model, params, groups, temperature)

  rows = batch_sharding(mesh)
  return jax.jit(run, in_shardings=(None, rows, replicated(mesh)), out_shardings=rows)
