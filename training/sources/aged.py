"""Online with older policies: of some steps ago, or of the last of the steps that all share one.

The step t is trained on what the policy of step `written_at(t)` wrote. Its groups are drawn as soon
as that policy is there, and wait: a few tokens and numbers a response, where policies would be
parameters. What is drawn depends on the step and the policy alone, so nothing else changes.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from models.transformer import Params
from training.records.waiting import Waiting
from training.sources.batch import Batch, Source
from training.sources.online import Online


def written_at(config: ConfigDict, step: int) -> int:
  """The step whose policy, before its updates, writes what `step` is trained on."""
  before = max(0, step - config.sampling.lag)
  return before - before % config.sampling.sync_every


class Aged(Source):
  """`online`, sampling.lag steps late and from the policy of every sampling.sync_every-th step."""

  def __init__(self, config: ConfigDict, online: Online, waiting: Waiting):
    self._config, self._online, self._files = config, online, waiting
    self._waiting: dict[int, Batch] = {}

  def collect(self, step: int, params: Params) -> Batch:
    """The groups of this step; those of later steps that are this policy's are drawn, too."""
    for later in self._due(step):
      self._waiting[later] = self._online.collect(later, params)
    batch = self._waiting.pop(step)
    age = step - written_at(self._config, step)
    ages = np.full(len(batch.scored.rows), age, np.int32)
    return dataclasses.replace(batch, scored=dataclasses.replace(batch.scored, ages=ages))

  def _due(self, step: int) -> list[int]:
    """The steps whose groups the policy of this one writes."""
    sampling = self._config.sampling
    until = min(self._config.steps, step + sampling.lag + sampling.sync_every)
    return [t for t in range(step, until) if written_at(self._config, t) == step]

  def keep(self, step: int) -> None:
    self._online.keep(step)
    self._files.write(step, {str(t): batch.to_arrays() for t, batch in self._waiting.items()})

  def resume(self, step: int) -> None:
    self._online.resume(step)
    found = self._files.read(step)
    self._waiting = {int(t): Batch.from_arrays(arrays) for t, arrays in found.items()}

  def seconds(self, steps: int) -> float:
    return self._online.seconds(steps)

  def item(self, row: int):
    return self._online.item(row)
