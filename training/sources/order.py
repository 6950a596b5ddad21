"""The order of prompts and the random keys: functions of the seed, the purpose and the step."""

import zlib
from functools import cache

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from training import hosts


def key_for(purpose: str, seed: int, step: int) -> jax.Array:
  """The random key of one purpose at one step: a resumed run draws what it would have drawn."""
  key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
  return jax.random.fold_in(key, step)


def prompt_order(seed: int, step: int, batch: int, n: int) -> np.ndarray:
  """The rows, of n, that step `step` trains on: each epoch a new permutation, nothing left out."""
  positions = range(step * batch, (step + 1) * batch)
  return np.array([_permutation(seed, p // n, n)[p % n] for p in positions])


def rows_of_run(config: ConfigDict, mesh: Mesh, n: int) -> np.ndarray:
  """The rows, of n, that this process trains on in the whole run."""
  batch = config.batch_prompts
  orders = (prompt_order(config.seed, step, batch, n) for step in range(config.steps))
  return np.unique(np.concatenate([hosts.mine(mesh, order) for order in orders]))


@cache
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(n)
