"""Offline: a fixed data set of scored groups, in epochs."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from models.groups import Groups
from models.transformer import Params
from tasks import group_dataset
from tasks.items import Item
from tasks.tokenizers.tokenizer import left_pad
from training import hosts
from training.epochs import prompt_order
from training.parts import Parts
from training.scoring import Scorer
from training.sources.batch import Batch, ScoredGroups, Source


class Offline(Source):
  """A fixed data set of scored groups, in epochs, with the log-probs of its behaviour policy."""

  def __init__(
    self,
    parts: Parts,
    scorer: Scorer,
    rows: group_dataset.StoredGroups,
    prompts: Sequence[Sequence[int]],
    longest: int,
    seconds: float,
    log_probs: Callable[[Params, Groups], np.ndarray] | None = None,
    by_base: bool = False,
  ):
    """A data set.

    Args:
      prompts: the tokens of those of the held rows.
      longest: of all prompts that any process of the run holds, in tokens.
      seconds: the time that sampling and scoring it took.
      log_probs: (the policy's parameters, groups) -> those of the behaviour policy, for the groups
        that the rows are not `known` of.
      by_base: whether the base policy wrote it, the one that training began with.
    """
    self._config, self._scorer, self._mesh = parts.config, scorer, parts.mesh
    self._rows, self._seconds, self._log_probs = rows, seconds, log_probs
    self._by_base = by_base
    longest = max(parts.task.max_prompt_tokens, longest)
    self._prompts = left_pad(prompts, longest, parts.task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    """Each response of the data set counts as a rollout when it is first used."""
    n = self._rows.count
    chosen = prompt_order(self._config.seed, step, self._config.batch_prompts, n)
    chosen = hosts.mine(self._mesh, chosen)
    prompts, prompt_mask = (array[self._rows.places(chosen)] for array in self._prompts)
    rows = self._rows.take(chosen)
    groups = Groups(
      prompts,
      prompt_mask,
      rows["responses"],
      rows["mask"],
      rows["rewards"],
      old_logps=rows["logps"],
    )
    if self._log_probs is not None:
      computed, known = self._log_probs(params, groups), rows["known"][:, None, None]
      groups = dataclasses.replace(groups, old_logps=np.where(known, rows["logps"], computed))
    scored = self._scorer(groups, rows["finished"])
    rollouts = (self._used(step + 1) - self._used(step)) * self._config.group_size
    lengths, prompt_lengths = rows["mask"].sum(axis=-1), prompt_mask.sum(axis=-1)
    drawn = ScoredGroups(scored, rows["rewards"], rows["finished"], lengths, prompt_lengths, chosen)
    if self._by_base:
      drawn = dataclasses.replace(drawn, ages=np.full(len(chosen), step, np.int32))
    return Batch(drawn, rollouts)

  def seconds(self, steps: int) -> float:
    """The time it took to collect the groups used so far."""
    return self._seconds * self._used(steps) / self._rows.count

  def item(self, row: int) -> Item:
    return Item(*self._rows.texts[row])

  def _used(self, steps: int) -> int:
    return min(steps * self._config.batch_prompts, self._rows.count)
