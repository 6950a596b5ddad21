"""Which rows a step trains on: a function of the seed and the step. Nothing of it needs jax."""

from functools import cache

import numpy as np
from ml_collections import ConfigDict


def prompt_order(seed: int, step: int, batch: int, n: int) -> np.ndarray:
  """The rows, of n, that step `step` trains on: each epoch a new permutation, nothing left out."""
  positions = range(step * batch, (step + 1) * batch)
  return np.array([_permutation(seed, p // n, n)[p % n] for p in positions])


def fresh_prompts(config: ConfigDict, step: int) -> int:
  """How many groups of an online step are drawn, the others being replayed: of the first all."""
  replayed = round(config.replay.share * config.batch_prompts) if step else 0
  return config.batch_prompts - replayed


def rows_of_steps(seed: int, steps: int, batch: int, n: int) -> np.ndarray:
  """The rows, of n, that so many steps train on, ascending."""
  if steps * batch >= n:
    return np.arange(n)
  return np.unique(_permutation(seed, 0, n)[: steps * batch])


@cache
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(n)
