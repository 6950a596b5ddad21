"""The random keys, and the rows of one process: functions of the seed, the purpose and the step."""

import zlib

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from training import hosts
from training.epochs import prompt_order


def key_for(purpose: str, seed: int, step: int) -> jax.Array:
  """The random key of one purpose at one step: a resumed run draws what it would have drawn."""
  key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
  return jax.random.fold_in(key, step)


def rows_of_run(config: ConfigDict, mesh: Mesh, n: int) -> np.ndarray:
  """The rows, of n, that this process trains on in the whole run."""
  batch = config.batch_prompts
  orders = (prompt_order(config.seed, step, batch, n) for step in range(config.steps))
  return np.unique(np.concatenate([hosts.mine(mesh, order) for order in orders]))
