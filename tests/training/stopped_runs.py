"""Runs that are stopped on their way, and what they leave but for times."""

import pathlib
from typing import Any

import pytest

from training.records.run_folder import RunFolder
from training.run import Run, train

TIMED = ("seconds", "train/seconds", "train/step_time", "perf/tokens_per_second")


def train_until(step: int, config, folder: pathlib.Path, root: pathlib.Path) -> None:
  """Trains in `folder` as far as a ^C that comes when this step is written down."""

  def stop(row):
    if row.get("step") == step:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    train(config, str(folder), root=str(root), report=stop)


def whole_and_resumed(config, root: pathlib.Path, at: int = 5) -> tuple[Run, Run]:
  """The run that nobody stopped, and the one that was, and went on."""
  whole = train(config, str(root / "whole"), root=str(root))
  train_until(at, config, root / "stopped", root)
  return whole, train(config, str(root / "stopped"), root=str(root))


def rows_of(folder: str) -> list[dict[str, Any]]:
  """The rows of metrics.jsonl."""
  rows = RunFolder(folder).read_metrics()
  return [{name: row[name] for name in row.keys() - set(TIMED)} for row in rows]
