"""Demonstrations: the task's own answers, or a mixture of behaviours."""

import numpy as np

from models.groups import Groups
from models.transformer import Params
from tasks.demonstrations import Mixture
from tasks.items import Item
from tasks.tokenizers.tokenizer import right_pad
from training import hosts
from training.epochs import prompt_order
from training.parts import Parts
from training.sources.batch import Batch, ScoredGroups, Source


class Demonstrations(Source):
  """Texts to be imitated, as groups of one response with reward 1."""

  def __init__(self, parts: Parts, mixture: str = "right"):
    """`mixture`: as tasks/demonstrations.py has it; "right": the task's own answers."""
    self._config, self._task, self._mesh = parts.config, parts.task, parts.mesh
    self._mixture = Mixture(mixture)
    encode, pad_id = parts.task.tokenizer.encode, parts.task.tokenizer.pad_id
    eos = [parts.task.tokenizer.eos_id]
    written = zip(*map(self._mixture.of, parts.task.train), strict=True)  # by behaviour
    tokens = [[encode(text) + eos for text in texts] for texts in written]
    longest = max(len(row) for rows in tokens for row in rows)
    padded = [right_pad(rows, longest, pad_id) for rows in tokens]
    self._responses, self._masks = map(np.stack, zip(*padded, strict=True))  # [behaviour, N, T]

  def collect(self, step: int, params: Params) -> Batch:
    """They were written, not sampled: no rollouts."""
    del params
    batch, seed = self._config.batch_prompts, self._config.seed
    rows = prompt_order(seed, step, batch, len(self._task.train))
    shares = self._mixture.shares
    drawn = np.random.default_rng((seed, step)).choice(len(shares), size=batch, p=shares)
    rows, drawn = hosts.mine(self._mesh, (rows, drawn))
    prompts, prompt_mask = (array[rows] for array in self._task.train_prompts)
    responses, mask = (array[drawn, rows][:, None] for array in (self._responses, self._masks))
    ones = np.ones((len(rows), 1), np.float32)
    groups = Groups(prompts, prompt_mask, responses, mask, ones)
    lengths, prompt_lengths = mask.sum(axis=-1), prompt_mask.sum(axis=-1)
    return Batch(ScoredGroups(groups, ones, ones > 0, lengths, prompt_lengths, rows), rollouts=0)

  def seconds(self, steps: int) -> float:
    del steps
    return 0.0

  def item(self, row: int) -> Item:
    return self._task.train[row]
