"""W&B's rows, read back from its offline files, against those of the run's own metrics.jsonl."""

import pathlib
from typing import Any

from tests.chaos import stops
from tests.chaos.left_behind import TIMED
from tests.chaos.trials import Trial, Whole
from tests.training.test_wandb_runs import history, read_back
from training.records.run_folder import RunFolder


def mirrored(trial: Trial, whole: Whole) -> None:
  """The work with W&B offline, stopped again and again; then sent once more from its folder.

  Each row that W&B has must be the run's, in whichever life it came. Of lives that were asked to
  end it must have all rows; what is sent once more must be all of them, each once.
  """
  trial.more.append("--config.wandb.mode=offline")
  stop = trial.random.choice((stops.kill, stops.terminate, stops.interrupt))
  stop(trial, whole)
  if trial.wrong:
    return
  folder = trial.runs / trial.work.name
  if trial.then("experiments.upload", str(folder), "--mode=offline"):
    trial.wrong.append("experiments.upload failed")
    return
  rows = {row["step"]: row for row in RunFolder(str(folder)).read_metrics()}
  files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
  lives = [_rows(path) for path in files if not path.stem.endswith("-replay")]
  (again,) = [_rows(path) for path in files if path.stem.endswith("-replay")]
  for life in [*lives, again]:
    trial.wrong += [line for row in life if (line := _difference(row, rows))]
  seen = {row["_step"] for life in lives for row in life}
  if stop is not stops.kill and seen != rows.keys():
    trial.wrong.append(f"W&B lacks the rows of steps {sorted(rows.keys() - seen)}")
  if [row["_step"] for row in again] != list(rows):
    trial.wrong.append(f"sent once more: steps {[row['_step'] for row in again]}")


def _rows(path: pathlib.Path) -> list[dict[str, Any]]:
  records = read_back(str(path))  # without any of a life that ended at once
  return [row["item"] for row in history(records)] if "history" in records else []


def _difference(found: dict[str, Any], rows: dict[int, dict[str, Any]]) -> str:
  """What W&B's row has otherwise than the run's of its step; "" if nothing."""
  row = rows.get(found["_step"])
  if row is None:
    return f"W&B has a row of step {found['_step']}"
  own = {key: value for key, value in row.items() if key not in TIMED and value is not None}
  other = [key for key, value in own.items() if found.get(key) != value]
  return f"W&B, step {found['_step']}: {other[0]} is {found.get(other[0])}" if other else ""
