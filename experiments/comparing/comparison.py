"""The runs of a sweep, read back from their folders and compared over seeds.

Only finished runs count in a mean. The base policy's values are the runs' own rows of step 0.
"""

import dataclasses
import datetime
import functools
import json
import math
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.comparing.estimates import Estimate, estimate, number
from experiments.errors import UserError
from experiments.run_folder import RunFolder

REWARD, SAMPLED, KL = "eval/reward", "eval/reward_sampled", "eval/kl"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """One run as its folder tells it.

  `state`: finished, running, diverged, failed, stopped or not started.
  """

  folder: RunFolder
  variant: str
  state: str
  status: dict[str, Any]
  config: dict[str, Any]
  rows: list[dict[str, Any]]

  @property
  def name(self) -> str:
    return self.folder.name

  @property
  def seed(self) -> int:
    return self.config.get("seed", 0)

  def final(self, metric: str) -> float | None:
    """The last value written of `metric`; None if it was not finite, or never written."""
    return next((value(row, metric) for row in reversed(self.rows) if metric in row), None)

  def start(self, metric: str) -> float | None:
    """The base policy's value: the evaluation at step 0."""
    first = [row for row in self.rows if row.get("step") == 0 and metric in row]
    return value(first[0], metric) if first else None


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
  """Runs that differ only in their seed."""

  name: str
  runs: tuple[Run, ...]

  @functools.cached_property
  def finished(self) -> tuple[Run, ...]:
    return tuple(run for run in self.runs if run.state == "finished")

  @property
  def failed(self) -> int:
    return sum(run.state in ("diverged", "failed") for run in self.runs)

  @property
  def config(self) -> dict[str, Any]:
    return next((run.config for run in self.runs if run.config), {})

  @property
  def seeds(self) -> str:
    """ "3", or "2 of 3" while some are missing."""
    done, planned = len(self.finished), len(self.runs)
    return str(done) if done == planned else f"{done} of {planned}"

  def final(self, metric: str) -> Estimate | None:
    return estimate(run.final(metric) for run in self.finished)

  def gain(self, metric: str) -> Estimate | None:
    """The final value minus the base policy's, each run against its own step 0."""
    return estimate(_difference(run.final(metric), run.start(metric)) for run in self.finished)

  def minus(self, other: "Variant", metric: str) -> Estimate | None:
    """The paired difference of the final values, over the seeds that both have finished."""
    theirs = {run.seed: run.final(metric) for run in other.finished}
    mine = {run.seed: run.final(metric) for run in self.finished}
    common = sorted(mine.keys() & theirs.keys())
    return estimate(_difference(mine[seed], theirs[seed]) for seed in common)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
  """What the terminal table and the report show. `variants` come in the order of the sweep."""

  name: str
  folders: tuple[str, ...]
  date: str  # when the last run ended
  commit: str  # of the code that the runs ran
  file: str
  variants: tuple[Variant, ...]

  @property
  def runs(self) -> list[Run]:
    return [run for variant in self.variants for run in variant.runs]

  @property
  def finished(self) -> list[Run]:
    return [run for run in self.runs if run.state == "finished"]

  @property
  def unfinished(self) -> list[Run]:
    return [run for run in self.runs if run.state != "finished"]

  @functools.cached_property
  def has_one_base(self) -> bool:
    """Whether all runs start from one policy on one task, so that one number is its reward."""
    parts = ("task", "model", "base")
    origins = {
      json.dumps([run.config.get(part) for part in parts]) for run in self.runs if run.rows
    }
    return len(origins) == 1

  def base(self, metric: str) -> float | None:
    """The base policy's value of `metric`, averaged over the runs; None if there is no one base."""
    starts = estimate(run.start(metric) for run in self.runs) if self.has_one_base else None
    return starts.mean if starts else None

  def leaders(self, metric: str) -> set[str]:
    """The variants that may be the best: the highest mean, and all not clearly below it.

    Empty where the seeds cannot tell: fewer than two variants, or one seed.
    """
    scored = [(v, score) for v in self.variants if (score := v.final(metric))]
    if len(scored) < 2 or any(score.n < 2 for _, score in scored):
      return set()
    best, _ = max(scored, key=lambda item: item[1].mean)
    gaps = {v.name: best.minus(v, metric) for v, _ in scored}
    return {best.name} | {name for name, gap in gaps.items() if gap is None or not gap.is_clear}


def read(*folders: str) -> Comparison:
  """Reads the sweeps, or single runs, under `folders`; raises UserError if one holds no runs."""
  plans = [_read_plan(folder) for folder in folders]
  runs = [[_read_run(path, variant) for path, variant in plan] for _, plan in plans]
  names = [os.path.basename(os.path.abspath(folder)) for folder in folders]
  taken = [{run.variant for run in group} for group in runs]
  variants: dict[str, list[Run]] = {}
  for index, group in enumerate(runs):
    elsewhere = set().union(*taken[:index], *taken[index + 1 :])
    for run in group:
      label = f"{names[index]}/{run.variant}" if run.variant in elsewhere else run.variant
      variants.setdefault(label, []).append(run)
  heads = [head for head, _ in plans]
  everyone = [run for group in runs for run in group]
  return Comparison(
    name=" + ".join(head.get("name") or name for head, name in zip(heads, names, strict=True)),
    folders=tuple(folders),
    date=_date(max((run.status.get("time", 0.0) for run in everyone), default=0.0)),
    commit=_one_or_several([run.folder.read_env().get("git") or "" for run in everyone]),
    file=_one_or_several([head.get("file", "") for head in heads]),
    variants=tuple(Variant(name, tuple(members)) for name, members in variants.items()),
  )


def print_table(folder: str, console: Console | None = None) -> None:
  """Prints the final table of a sweep, then a line for each run that failed."""
  console = console or Console()
  if not console.is_terminal:  # a file has no width: never fold a number
    console.width = max(console.width, 120)
  result = read(folder)
  console.print(_table(result))
  for run in result.unfinished:
    reason = f", {run.status['reason']}" if run.status.get("reason") else ""
    where = f"  ({run.folder.log})" if os.path.exists(run.folder.log) else ""
    console.print(f"{run.name}: {run.state}{reason}{where}", markup=False, soft_wrap=True)


def value(row: dict[str, Any], metric: str) -> float | None:
  """A finite number, or None."""
  found = row.get(metric)
  is_number = isinstance(found, int | float) and math.isfinite(found)
  return float(found) if is_number else None


def _table(result: Comparison) -> Table:
  base = result.base(REWARD)
  title = "final eval/reward, mean ± 95% CI over seeds"
  if base is not None:
    title += f"; base policy {number(base)}"
  table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
  table.add_column("variant", no_wrap=True)
  for column in ("seeds", "reward", "sampled", "kl", "rollouts", "failed"):
    table.add_column(column, justify="right", no_wrap=True)
  for variant in result.variants:
    kl, rollouts = variant.final(KL), variant.final("rollouts")
    estimates = [str(variant.final(metric) or "—") for metric in (REWARD, SAMPLED)]
    means = [number(kl.mean if kl else None), number(round(rollouts.mean) if rollouts else None)]
    table.add_row(variant.name, variant.seeds, *estimates, *means, str(variant.failed))
  return table


def _read_plan(folder: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
  """The head of sweep.json and, in its order, each run's path and variant ("": ask the run)."""
  if not os.path.isdir(folder):
    raise UserError(f"no folder {folder!r}; give a sweep's or a run's folder, e.g. runs/quick")
  try:
    with open(os.path.join(folder, "sweep.json")) as file:
      head = json.load(file)
    plan = head.get("runs", [])
    return head, [(os.path.join(folder, run["name"]), run.get("variant", "")) for run in plan]
  except FileNotFoundError:
    pass
  if RunFolder(folder).read_config():
    return {}, [(folder, "")]
  names = sorted(os.listdir(folder))
  paths = [os.path.join(folder, name) for name in names if not name.startswith(".")]
  runs = [(path, "") for path in paths if os.path.isdir(path) and RunFolder(path).read_config()]
  if not runs:
    raise UserError(f"{folder} holds no runs; give a sweep's or a run's folder, e.g. runs/quick")
  return {}, runs


def _read_run(path: str, variant: str) -> Run:
  folder = RunFolder(path)
  about = folder.read_config()
  state = folder.state(about.get("digest", ""))
  return Run(
    folder=folder,
    variant=variant or about.get("variant") or folder.name,
    state={"new": "not started", "resume": "stopped"}.get(state, state),
    status=folder.read_status(),
    config=about.get("config", {}),
    rows=folder.read_metrics(),
  )


def _difference(a: float | None, b: float | None) -> float | None:
  return None if a is None or b is None else a - b


def _date(when: float) -> str:
  """A unix time as 2026-11-21 06:44; nothing for 0."""
  return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") if when else ""


def _one_or_several(values: Sequence[str]) -> str:
  return ", ".join(dict.fromkeys(value for value in values if value))
