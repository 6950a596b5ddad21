"""Where a run's numbers go: metrics.jsonl first, W&B as a mirror of it that may fail in peace."""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from experiments.run_folder import RunFolder


class Recorder(contextlib.AbstractContextManager):
  """Writes rows as they come; `latest` holds the last value of every metric."""

  def __init__(
    self,
    config: ConfigDict,
    folder: RunFolder,
    report: Callable[[dict[str, Any]], None],
  ):
    self._config, self._folder, self._report = config, folder, report
    self._wandb = start_wandb(config, folder)
    self.latest: dict[str, Any] = {}
    self._warned: set[str] = set()

  def __exit__(self, kind, error, trace) -> None:
    finals = {k.replace("eval/", "final/"): v for k, v in self.latest.items() if "eval/" in k}
    self._mirror(lambda run: run.summary.update(finals))
    self._mirror(lambda run: run.finish(exit_code=0 if kind is None else 1))

  def resume(self, step: int) -> dict[str, Any]:
    """Forgets the rows after `step`, and returns the last row kept ({} if there is none)."""
    self._folder.truncate(step)
    rows = self._folder.read_metrics()
    for row in rows:
      self.latest |= row
    return rows[-1] if rows else {}

  def log(self, row: dict[str, Any]) -> None:
    """One row, with its "step"."""
    self.latest |= row
    self._folder.append_metrics(row)
    steps = self._config.steps
    self._folder.write_status("running", step=row["step"], steps=steps, metrics=self.latest)
    self._report({"steps": steps} | row)
    self._mirror(lambda run: run.log({"train/global_step": row["step"]} | row, step=row["step"]))

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

    def log_table(run) -> None:
      import wandb

      columns: list[Any] = ["step", "prompt", "answer", "completion", "reward"]
      table = wandb.Table(columns, [[row[column] for column in columns] for row in rows])
      run.log({"completions": table}, step=rows[0]["step"])

    self._mirror(log_table)

  def _mirror(self, write: Callable[[Any], None]) -> None:
    """Does it in W&B, if that works; gives W&B up, and goes on, when it does not."""
    if self._wandb:
      try:
        write(self._wandb)
      except Exception as error:  # whatever it is
        print(f"W&B: off from here ({type(error).__name__}: {error})")
        self._wandb = None


def start_wandb(config: ConfigDict, folder: RunFolder):
  """The W&B run that mirrors this one, or None. A W&B that does not work only costs a message."""
  if config.wandb.mode == "disabled" or folder.read_only:
    return None
  about = folder.read_config()
  sweep, variant = about.get("sweep", ""), about.get("variant", folder.name)
  where = os.path.dirname(os.path.abspath(folder.path)) if sweep else folder.path
  try:
    import wandb

    mode = _mode(config.wandb.mode, wandb)
    if mode == "disabled":
      return None
    os.makedirs(where, exist_ok=True)
    tags = [config.algorithm.loss, config.task.name]
    return wandb.init(
      project=config.wandb.project,
      entity=config.wandb.entity or None,
      mode=mode,
      dir=where,
      # A run started over is another run to W&B, which would take none of its first rows.
      id=f"{sweep or 'run'}-{folder.name}-{about.get('digest', '')}-{about.get('created', 0)}",
      name=folder.name,
      group=f"{sweep}/{variant}" if sweep else variant,
      job_type="sft" if config.source == "demonstrations" else "train",
      tags=[tag[-64:] for tag in tags],
      config=config.to_dict() | {"sweep": sweep, "variant": variant},
      resume="allow" if mode == "online" else None,
      settings=wandb.Settings(silent=True, x_disable_stats=True, console="off"),
    )
  except Exception as error:  # whatever it is, training goes on
    print(f"W&B: off ({type(error).__name__}: {error}); metrics are in {folder.path}")
    return None


def _mode(wanted: str, wandb) -> Any:
  """ "auto": what WANDB_MODE says, else online where somebody is logged in, else offline."""
  if wanted != "auto":
    return wanted
  return os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
