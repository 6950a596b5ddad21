"""Online: the current policy samples the groups of every step."""

import jax
import numpy as np

from models.transformer import Params
from tasks.items import Item
from training import hosts
from training.epochs import fresh_prompts, prompt_order
from training.parts import Parts
from training.records.waiting import Waiting
from training.scoring import Scorer
from training.sources.batch import Batch, ScoredGroups, Source, is_tied
from training.sources.on_request import OnRequest
from training.sources.writer import Writer


class Online(Source):
  """The current policy samples K responses to each prompt of the step; the task scores them."""

  def __init__(
    self,
    parts: Parts,
    scorer: Scorer,
    reference: Params | None = None,
    files: Waiting | None = None,
  ):
    """`reference` and `files` are for losses that ask for responses of the reference."""
    self._config, self._task, self._mesh = parts.config, parts.task, parts.mesh
    self._writer, self._files = Writer(parts, scorer, "sampling"), files
    self._on_request = OnRequest(parts, scorer, reference)

  def collect(self, step: int, params: Params) -> Batch:
    """The step's groups; those of equal rewards are replaced, sampling.refills times at most."""
    refills, draws = self._config.sampling.refills, 1
    drawn, rollouts = self._draw(step, 0, params)
    tied = np.array([], int)
    if refills:  # dynamic sampling (DAPO: Yu et al., 2025, section 3.2)
      drawn = hosts.gather(self._mesh, drawn)  # a replacement may come from any process
      tied = np.flatnonzero(is_tied(drawn.groups.rewards))
      while len(tied) and draws <= refills:
        fresh, more = self._draw(step, draws, params)
        fresh = hosts.gather(self._mesh, fresh)
        untied = np.flatnonzero(~is_tied(fresh.groups.rewards))[: len(tied)]
        drawn = jax.tree.map(lambda x, y: _with_rows(x, tied, y[untied]), drawn, fresh)  # noqa: B023
        tied, draws, rollouts = tied[len(untied) :], draws + 1, rollouts + more
      drawn = hosts.mine(self._mesh, drawn)
    return Batch(drawn, rollouts, tied_left=len(tied))

  def _draw(self, step: int, refill: int, params: Params) -> tuple[ScoredGroups, int]:
    """Groups of this process, and the responses that all processes drew for theirs."""
    config = self._config
    # Refills take the prompts of steps that will never come.
    turn = step + refill * config.steps
    rows = prompt_order(config.seed, turn, config.batch_prompts, len(self._task.train))
    rows = rows[: fresh_prompts(config, step)]
    own = self._writer(turn, params, hosts.mine(self._mesh, rows))
    drawn, asked_for = self._on_request.add(turn, params, own)
    return drawn, len(rows) * self._writer.count + asked_for

  def keep(self, step: int) -> None:
    if self._files is not None and self._on_request.remembers:
      self._files.write(step, {"reference": self._on_request.to_arrays()})

  def resume(self, step: int) -> None:
    if self._files is not None and self._on_request.remembers:
      self._on_request.from_arrays(self._files.read(step)["reference"])

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
