"""Runs read from their folders, and the set of runs that a folder holds."""

import dataclasses
import functools
import math
import os
from typing import Any

from configs.config_values import flatten
from training.errors import UserError
from training.records import metric_columns
from training.records.files import damaged, read_json
from training.records.metric_columns import Columns
from training.records.run_folder import RunFolder

SEEDS = ("seed", "base.seed", "reward_model.seed")  # fields in which runs of a variant may differ


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """One run, read from its folder.

  `state`: finished, running, diverged, failed, stopped or not started.
  """

  folder: RunFolder
  variant: str
  state: str
  status: dict[str, Any]
  config: dict[str, Any]
  rows: Columns
  env: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    return self.folder.name

  @property
  def seed(self) -> int:
    return self.config.get("seed", 0)

  @functools.cached_property
  def prompts(self) -> list[dict[str, Any]]:
    """The rewards of each held-out prompt, a row an evaluation; [] if the run kept none."""
    return self.folder.read_prompts()

  @functools.cached_property
  def completions(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those of the first evaluation that kept some, and of the last."""
    return self.folder.read_ends("completions")

  @functools.cached_property
  def groups(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those of the first step that kept some, and of the last."""
    return self.folder.read_ends("groups")

  @property
  def settings(self) -> dict[str, Any]:
    """The config without its seeds, flat."""
    return {key: value for key, value in flatten(self.config).items() if key not in SEEDS}

  def final(self, metric: str) -> float | None:
    """The last value written of `metric`; None if it was not finite, or never written."""
    values = self.rows.values(metric)
    return _finite(values[-1]) if len(values) else None

  def start(self, metric: str) -> float | None:
    """The base policy's value: that of the evaluation at step 0."""
    where = self.rows.where(metric)
    values = self.rows.values(metric)[self.rows.at("step", where) == 0]
    return _finite(values[0]) if len(values) else None


@dataclasses.dataclass(frozen=True, eq=False)
class RunSet:
  """The runs in one folder: a sweep, whose sweep.json is `head`; or a run or runs without one."""

  folder: str
  head: dict[str, Any]
  runs: tuple[Run, ...]

  @property
  def name(self) -> str:
    return os.path.basename(os.path.abspath(self.folder))


def read_run_set(folder: str) -> RunSet:
  """Reads the sweep, the run or the runs in `folder`; raises UserError if it holds none."""
  head, plan = _plan(folder)
  return RunSet(folder, head, tuple(_read(path, variant) for path, variant in plan))


def value(row: dict[str, Any], metric: str) -> float | None:
  """Returns the row's number for this metric; None if it is missing or not finite."""
  found = row.get(metric)
  is_number = isinstance(found, int | float) and math.isfinite(found)
  return float(found) if is_number else None


def _finite(number: float) -> float | None:
  return float(number) if math.isfinite(number) else None


def _plan(folder: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
  """Returns sweep.json and, in its order, each run's path and variant ("": its config has it)."""
  if not os.path.isdir(folder):
    raise UserError(f"no folder {folder!r}; give a sweep's or a run's folder, e.g. runs/quick")
  path = os.path.join(folder, "sweep.json")
  if head := read_json(path, {"runs": list}):
    try:
      plan = [(str(run["name"]), str(run.get("variant", ""))) for run in head["runs"]]
    except (AttributeError, KeyError, TypeError):
      raise damaged(path, "not all of its runs have a name") from None
    return head, [(os.path.join(folder, name), variant) for name, variant in plan]
  if _is_run(folder):
    return {}, [(folder, "")]
  inside = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name[0] != "."]
  runs = [(path, "") for path in inside if _is_run(path)]
  if not runs:
    sweeps = [path for path in inside if os.path.exists(os.path.join(path, "sweep.json"))]
    advice = f"it holds sweeps: {' '.join(sweeps)}" if sweeps else "e.g. runs/quick"
    raise UserError(f"{folder} holds no runs; give a sweep's or a run's folder, {advice}")
  return {}, runs


def _is_run(path: str) -> bool:
  try:
    return "config" in RunFolder(path).read_config()
  except NotADirectoryError:
    return False
  except UserError:  # a run, if one that cannot be read: `_read` says so
    return True


def _read(path: str, variant: str) -> Run:
  folder = RunFolder(path)
  about, rows = folder.read_config(), metric_columns.of_run(path)
  state = folder.state(about.get("digest", ""))
  return Run(
    folder=folder,
    variant=variant or about.get("variant") or folder.name,
    state={"new": "not started", "resume": "stopped"}.get(state, state),
    status=folder.read_status(),
    config=about.get("config", {}),
    rows=rows,
    env=folder.read_env(),
  )
