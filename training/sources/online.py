"""Online: the current policy samples the groups of every step."""

import jax
import numpy as np

from models.groups import Groups
from models.transformer import Params
from tasks.items import Item
from training import hosts
from training.drawing import draw
from training.epochs import fresh_prompts, prompt_order
from training.parts import Parts
from training.scoring import Scorer
from training.sources.batch import Batch, ScoredGroups, Source, is_tied
from training.sources.order import key_for


class Online(Source):
  """The current policy samples K responses to each prompt of the step; the task scores them."""

  def __init__(self, parts: Parts, scorer: Scorer):
    self._parts, self._config, self._task, self._scorer = parts, parts.config, parts.task, scorer
    c, self._mesh = parts.config, parts.mesh
    self._corrects = "sampler_logps" in parts.words
    self._sampler = parts.sampler(c.group_size, top_k=c.sampling.top_k, top_p=c.sampling.top_p)

  def collect(self, step: int, params: Params) -> Batch:
    """The step's groups; those of equal rewards are replaced, sampling.refills times at most."""
    refills, draws = self._config.sampling.refills, 1
    drawn, tied = self._draw(step, 0, params), np.array([], int)
    if refills:  # dynamic sampling (DAPO: Yu et al., 2025, section 3.2)
      drawn = hosts.gather(self._mesh, drawn)  # a replacement may come from any process
      tied = np.flatnonzero(is_tied(drawn.groups.rewards))
      while len(tied) and draws <= refills:
        fresh = hosts.gather(self._mesh, self._draw(step, draws, params))
        untied = np.flatnonzero(~is_tied(fresh.groups.rewards))[: len(tied)]
        drawn = jax.tree.map(lambda x, y: _with_rows(x, tied, y[untied]), drawn, fresh)  # noqa: B023
        tied, draws = tied[len(untied) :], draws + 1
      drawn = hosts.mine(self._mesh, drawn)
    responses = fresh_prompts(self._config, step) * self._config.group_size
    return Batch(drawn, draws * responses, tied_left=len(tied))

  def _draw(self, step: int, refill: int, params: Params) -> ScoredGroups:
    config, task = self._config, self._task
    # Refills take the prompts of steps that will never come.
    turn = step + refill * config.steps
    rows = prompt_order(config.seed, turn, config.batch_prompts, len(task.train))
    rows = rows[: fresh_prompts(config, step)]
    rows = hosts.mine(self._mesh, rows)
    prompts, prompt_mask = (array[rows] for array in task.train_prompts)
    key = key_for("sampling", config.seed, turn)
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

  def seconds(self, steps: int) -> float:
    """Sampling is a part of every step."""
    del steps
    return 0.0

  def item(self, row: int) -> Item:
    return self._task.train[row]


def _with_rows(x: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
  """x with the first of these rows replaced by the new ones."""
  x = x.copy()
  x[rows[: len(new)]] = new
  return x
