"""A replay buffer: a share of every batch are groups that were trained on before."""

import dataclasses

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from models.transformer import Params
from training import hosts
from training.records.waiting import Waiting
from training.sources.batch import Batch, ScoredGroups, Source


class Replay(Source):
  """The groups of `source`, of which each step draws fewer, and others of the last replay.size.

  Every process holds the whole buffer, and takes its rows of the batch.
  """

  def __init__(self, config: ConfigDict, mesh: Mesh, source: Source, waiting: Waiting):
    self._config, self._mesh, self._source, self._files = config, mesh, source, waiting
    self._buffer: ScoredGroups | None = None  # its ages are those at the step it was last used

  def collect(self, step: int, params: Params) -> Batch:
    """Fresh groups first, then older ones, each once at most."""
    batch = self._source.collect(step, params)
    fresh = _with_ages(hosts.gather(self._mesh, batch.scored))
    if self._buffer is None:
      self._buffer = fresh
      return dataclasses.replace(batch, scored=hosts.mine(self._mesh, fresh))
    older = _with_ages(self._buffer, more=1)
    chosen = self._choose(step, older, self._config.batch_prompts - len(fresh.rows))
    joined = jax.tree.map(lambda x, y: np.concatenate([x, y[chosen]]), fresh, older)
    size = self._config.replay.size
    self._buffer = jax.tree.map(lambda x, y: np.concatenate([x, y])[-size:], older, fresh)
    return dataclasses.replace(batch, scored=hosts.mine(self._mesh, joined))

  def _choose(self, step: int, older: ScoredGroups, count: int) -> np.ndarray:
    rng, weights = np.random.default_rng((self._config.seed, step, 1)), None
    if self._config.replay.by == "advantage":
      weights = mean_advantage(older.groups.rewards)
      weights = (weights + 1e-6) / (weights + 1e-6).sum()  # none is left out for ever
    return rng.choice(len(older.rows), count, replace=False, p=weights)

  def keep(self, step: int) -> None:
    self._source.keep(step)
    if self._buffer is not None:
      self._files.write(step, {"buffer": Batch(self._buffer, 0).to_arrays()})

  def resume(self, step: int) -> None:
    self._source.resume(step)
    self._buffer = Batch.from_arrays(self._files.read(step)["buffer"]).scored

  def seconds(self, steps: int) -> float:
    return self._source.seconds(steps)

  def item(self, row: int):
    return self._source.item(row)


def mean_advantage(rewards: Float[np.ndarray, "B K"]) -> Float[np.ndarray, " B"]:
  """The mean |r - mean of the group|, of the responses that are scored; 0 where none is."""
  scored = ~np.isnan(rewards)
  count = np.maximum(scored.sum(axis=1), 1)
  mean = np.nansum(rewards, axis=1) / count
  away = np.where(scored, np.abs(np.nan_to_num(rewards) - mean[:, None]), 0.0)
  return away.sum(axis=1) / count


def _with_ages(scored: ScoredGroups, more: int = 0) -> ScoredGroups:
  """The groups, `more` steps older; of the policy that is trained if nobody said another."""
  ages = np.zeros(len(scored.rows), np.int32) if scored.ages is None else scored.ages
  return dataclasses.replace(scored, ages=ages + more)
