"""Responses to the step's prompts, drawn by a policy and scored."""

import numpy as np

from models.groups import Groups
from models.sampler import Sampler
from models.transformer import Params
from training.drawing import draw
from training.parts import Parts
from training.scoring import Scorer
from training.sources.batch import ScoredGroups
from training.sources.order import key_for


class Writer:
  """Draws responses to training prompts, K as its sampler says; the task scores them."""

  def __init__(self, parts: Parts, scorer: Scorer, sampler: Sampler, purpose: str = "sampling"):
    """`purpose` names its random numbers: those of two purposes have nothing in common."""
    self._parts, self._scorer, self._sampler, self._purpose = parts, scorer, sampler, purpose
    self._corrects = "sampler_logps" in parts.words

  @property
  def count(self) -> int:
    """The responses that it draws to a prompt."""
    return self._sampler.group_size

  def __call__(self, turn: int, params: Params, rows: np.ndarray) -> ScoredGroups:
    """Responses of the policy `params` to this process's training prompts `rows`."""
    config, task = self._parts.config, self._parts.task
    prompts, prompt_mask = (array[rows] for array in task.train_prompts)
    key = key_for(self._purpose, config.seed, turn)
    temperature = config.sampling.temperature
    samples = draw(self._parts, self._sampler, params, prompts, prompt_mask, key, temperature)
    items = [task.train[row] for row in rows]
    each = task.reward_parts(items, samples.responses, samples.finished)
    groups = Groups(
      prompts,
      prompt_mask,
      samples.responses,
      samples.mask,
      task.reward.total(each),
      old_logps=samples.logps,
      sampler_logps=samples.drawn_logps if self._corrects else None,
      reward_parts=each,
    )
    scored, lengths = self._scorer(groups, samples.finished), samples.mask.sum(axis=-1)
    prompt_lengths = prompt_mask.sum(axis=-1)
    return ScoredGroups(scored, groups.rewards, samples.finished, lengths, prompt_lengths, rows)
