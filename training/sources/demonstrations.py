"""Demonstrations: the task's own answers."""

import numpy as np

from models.groups import Groups
from models.transformer import Params
from tasks.items import Item
from tasks.tokenizers.tokenizer import right_pad
from training import hosts
from training.parts import Parts
from training.sources.batch import Batch, ScoredGroups
from training.sources.order import prompt_order


class Demonstrations:
  """The task's own answers, as groups of one response with reward 1."""

  def __init__(self, parts: Parts):
    self._config, self._task, self._mesh = parts.config, parts.task, parts.mesh
    task = parts.task
    encode, eos = task.tokenizer.encode, [task.tokenizer.eos_id]
    answers = [encode(item.answer) + eos for item in task.train]
    self._responses = right_pad(answers, task.max_answer_tokens, task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    """They were written, not sampled: no rollouts."""
    del params
    batch = self._config.batch_prompts
    rows = prompt_order(self._config.seed, step, batch, len(self._task.train))
    rows = hosts.mine(self._mesh, rows)
    prompts, prompt_mask = (array[rows] for array in self._task.train_prompts)
    responses, mask = (array[rows][:, None] for array in self._responses)
    ones = np.ones((len(rows), 1), np.float32)
    groups = Groups(prompts, prompt_mask, responses, mask, ones)
    lengths, prompt_lengths = mask.sum(axis=-1), prompt_mask.sum(axis=-1)
    return Batch(ScoredGroups(groups, ones, ones > 0, lengths, prompt_lengths, rows), rollouts=0)

  def seconds(self, steps: int) -> float:
    del steps
    return 0.0

  def item(self, row: int) -> Item:
    return self._task.train[row]
