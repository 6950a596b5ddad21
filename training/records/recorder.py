"""Where a run's numbers go: metrics.jsonl first, W&B as a mirror of it that may fail in peace."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from training.errors import Stopped
from training.records import wandb_runs
from training.records.run_folder import RunFolder


class Recorder(contextlib.AbstractContextManager):
  """Writes rows as they come; `latest` holds the last value of every metric."""

  def __init__(
    self,
    config: ConfigDict,
    folder: RunFolder,
    report: Callable[[dict[str, Any]], None],
    words: Collection[str] = (),
  ):
    """`words` are the arrays that the loss asks for, from which W&B's kind of job follows."""
    self._config, self._folder, self._report = config, folder, report
    self._wandb = start_wandb(config, folder, words)
    self.latest: dict[str, Any] = {}
    self._warned: set[str] = set()

  def __exit__(self, kind, error, trace) -> None:
    code = 0 if kind in (None, Stopped) else 1
    self._mirror(lambda run: wandb_runs.finish(run, self.latest, code))

  def resume(self, step: int, totals: Mapping[str, Any]) -> dict[str, Any]:
    """Forgets the rows after `step`; returns the last row kept, with the checkpoint's `totals`.

    Lines that are no rows are said; the totals do not depend on what is left.
    """
    self.warn(self._folder.truncate(step))
    last: dict[str, Any] = {}
    for last in self._folder.each_metrics():
      self.latest |= last
    if last:  # as it was when this row was written, whatever became of status.json
      self._say_how_far(last["step"])
    return {**last, **totals}

  def log(self, row: dict[str, Any]) -> None:
    """One row, with its "step". UserError if the run's folder is no longer there."""
    self._folder.check_there()
    self.latest |= row
    self._folder.append_metrics(row)
    self._say_how_far(row["step"])
    self._report({"steps": self._config.steps} | row)
    self._mirror(lambda run: wandb_runs.log(run, row))

  def _say_how_far(self, step: int) -> None:
    steps = self._config.steps
    self._folder.write_status("running", step=step, steps=steps, metrics=self.latest)

  def warn(self, warnings: Iterable[str]) -> None:
    """Says each once, however often it comes."""
    for warning in warnings:
      if warning not in self._warned:
        self._warned.add(warning)
        self._report({"warning": warning})

  def log_completions(self, rows: list[dict[str, Any]]) -> None:
    if not rows:
      return
    self._folder.append_completions(rows)

    self._mirror(lambda run: wandb_runs.log_completions(run, rows))

  def log_prompts(self, row: dict[str, Any]) -> None:
    """The rewards of an evaluation by held-out prompt; too much for W&B, so in the folder alone."""
    if row:
      self._folder.append_prompts(row)

  def log_groups(self, rows: list[dict[str, Any]]) -> None:
    """Groups that were trained on, to read; in the folder alone."""
    self._folder.append_groups(rows)

  def _mirror(self, write: Callable[[Any], None]) -> None:
    """Does it in W&B, if that works; gives W&B up, and goes on, when it does not."""
    if self._wandb:
      try:
        write(self._wandb)
      except Exception as error:  # whatever it is
        print(f"W&B: off from here ({type(error).__name__}: {error})")
        self._wandb = None


def start_wandb(config: ConfigDict, folder: RunFolder, words: Collection[str]) -> Any:
  """The W&B run that mirrors this one, or None. A W&B that does not work only costs a message."""
  if config.wandb.mode == "disabled" or folder.read_only:
    return None
  try:
    return wandb_runs.start(folder, config.wandb.mode, words)
  except Exception as error:  # whatever it is, training goes on
    print(
      f"W&B: off ({type(error).__name__}: {error}); metrics are in {folder.path}; "
      f"python -m experiments.upload {folder.path} sends them later"
    )
    return None
