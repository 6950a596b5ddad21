"""The trials of one variant: read back from their runs' folders, and continued from there.

Trial 3 of grpo-k8 on seed 1000 is the run grpo-k8-t03-s1000. Its seeds run one after another, and a
later one only if the trial did well on those before. Trials follow each other, too: each learns
from the last. Nothing but the folders is kept, so nothing is lost or repeated, whenever it ends.
"""

import dataclasses
import glob
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs.config_values import flatten
from experiments.sweeping import jobs, plan
from experiments.sweeping.plan import Plan, PlannedRun
from experiments.sweeping.workers import Job
from experiments.tuning import search, space
from experiments.tuning.search import Curve, Domain, Trial, Values
from tasks.visible_text import visible
from training.errors import Stopped, UserError
from training.records import run_names
from training.records.run_folder import RunFolder, headline

_PRUNED = "pruned at step "  # so begins the reason of a run that was stopped


@dataclasses.dataclass(frozen=True)
class Done(Trial):
  """A trial that ended, with its runs."""

  runs: tuple[PlannedRun, ...]


class Trials:
  """The trials of `base.variant`, of which `base` is a planned run of the sweep.

  Args:
    tune: the plan whose folder they are in.
    most: the number of trials.
    retry: run those again that failed before.
  """

  def __init__(
    self,
    base: PlannedRun,
    domains: Mapping[str, Domain],
    tune: Plan,
    seeds: Sequence[int],
    most: int,
    retry: bool = False,
  ):
    self.base, self.domains, self.seeds = base, domains, seeds
    self.most = min(most, search.combinations(domains) or most)
    self.done: list[Done] = []
    self._tune, self._retry = tune, retry
    self._ran: set[str] = set()

  @property
  def variant(self) -> str:
    return self.base.variant

  @property
  def names(self) -> list[str]:
    """Of all runs that there may be, in order."""
    stem = [self._stem(number) for number in range(self.most)]
    return [f"{one}-s{seed}" for one in stem for seed in self.seeds]

  @property
  def best(self) -> Done | None:
    complete = [trial for trial in self.done if trial.outcome == "complete" and trial.curve]
    return max(complete, key=lambda trial: trial.curve[-1][1], default=None)

  def next(self) -> PlannedRun | None:
    """The run to train next; None when all trials are done. UserError if a folder does not fit."""
    while len(self.done) < self.most:
      values = self._recorded(len(self.done)) or self._proposed()
      if values is None:  # whole numbers: fewer choices than trials
        return None
      left = self._go_on(values)
      if left:
        return left
    return None

  def job(self, run: PlannedRun) -> Job:
    """The job that trains the run, and stops it where it falls behind the earlier trials."""
    self._ran.add(run.name)
    job = jobs.training(self._tune, [run])
    index = self.seeds.index(run.config["seed"])
    before = [
      self._planned(len(self.done), self._values_of(run), seed).folder.path
      for seed in self.seeds[:index]
    ]
    rules = {"earlier": self._curves, "before": before}
    return dataclasses.replace(
      job, function=f"{__name__}:train", arguments={**job.arguments, **rules}
    )

  def is_pruned(self, run: PlannedRun) -> bool:
    return _is_pruned(run.folder)

  @property
  def _curves(self) -> list[Curve]:
    return [trial.curve for trial in self.done]

  def _go_on(self, values: Values) -> PlannedRun | None:
    """The run that the trial of these values needs next, or None and the trial is done."""
    runs: list[PlannedRun] = []
    for seed in self.seeds:
      if runs and search.should_stop(self._curves, self._curve(runs), self.base.config["steps"]):
        return self._end(values, "pruned", runs)
      run = self._planned(len(self.done), values, seed)
      plan.refuse_changed([run])
      runs.append(run)
      again = run.state == "failed" and self._retry and run.name not in self._ran
      if _is_pruned(run.folder):
        return self._end(values, "pruned", runs)
      if run.state in ("diverged", "failed") and not again:
        return self._end(values, run.state, runs)
      if run.state != "finished":
        return run
    return self._end(values, "complete", runs)

  def _end(self, values: Values, outcome: str, runs: list[PlannedRun]) -> None:
    self.done.append(Done(values, outcome, self._curve(runs), tuple(runs)))

  def _curve(self, runs: Sequence[PlannedRun]) -> Curve:
    return curve_of([run.folder for run in runs], self.base.config["steps"])

  def _proposed(self) -> Values | None:
    defaults = flatten(self.base.config)
    return search.propose(self.variant, self.domains, defaults, self.done)

  def _recorded(self, number: int) -> Values | None:
    """The values of this trial, if it was begun before. UserError if they are not of the space."""
    pattern = os.path.join(glob.escape(self._tune.folder), f"{glob.escape(self._stem(number))}-s*")
    for path in sorted(glob.glob(pattern)):
      about = RunFolder(path).read_config()
      if not about:  # it was killed before it began
        continue
      config = flatten(about["config"])
      for field, domain in self.domains.items():
        if not search.contains(domain, config.get(field)):
          raise UserError(
            f"{path} was tuned with {field}={config.get(field)}, which is not in "
            f"{space.spoken(domain)}; give the tune another --out, or delete that folder"
          )
      return {field: config[field] for field in self.domains}
    return None

  def _planned(self, number: int, values: Values, seed: int) -> PlannedRun:
    tune, name = self._tune, f"{self.variant}-t{number:02}"
    return plan.with_values(self.base, values | {"seed": seed}, tune.name, name, tune.folder)

  def _values_of(self, run: PlannedRun) -> Values:
    config = flatten(run.config)
    return {field: config[field] for field in self.domains}

  def _stem(self, number: int) -> str:
    return run_names.file_name(f"{self.variant}-t{number:02}")


def curve_of(folders: Sequence[RunFolder], steps: int) -> list[tuple[int, float]]:
  """(steps spent on the trial, mean score over its seeds so far) at each evaluation but the base's.

  `folders` are of one trial's runs of so many steps, in the order in which they are trained.
  """
  curve: list[tuple[int, float]] = []
  ends: list[float] = []
  for index, folder in enumerate(folders):
    scores = [(row["step"], headline(row)) for row in folder.read_metrics() if row["step"] > 0]
    known = [(step, score) for step, score in scores if score is not None]
    for step, score in known:
      curve.append((index * steps + step, (sum(ends) + score) / (index + 1)))
    ends += [known[-1][1]] if known else []
  return curve


def _is_pruned(folder: RunFolder) -> bool:
  status = folder.read_status()
  return status.get("state") == "stopped" and status["reason"].startswith(_PRUNED)


def train(
  report: Callable[[dict[str, Any]], None],
  *,
  earlier: Sequence[Curve],
  before: Sequence[str],
  **arguments: Any,
) -> None:
  """Trains, or resumes, a trial's run in a worker; ends it early at a rung where it falls behind.

  Args:
    earlier: the curves of the variant's trials before this one.
    before: the folders of this trial's runs on the seeds before.
    arguments: of `jobs.train`.
  """
  folder, steps = RunFolder(arguments["folder"]), arguments["config"]["steps"]

  def judge(row: dict[str, Any]) -> None:
    report(row)
    if headline(row) is None or not 0 < row["step"] < steps:
      return
    curve = curve_of([*map(RunFolder, before), folder], steps)
    if search.should_stop(earlier, curve, steps):
      raise Stopped(f"{_PRUNED}{row['step']}: not in the better half of the trials so far")

  try:
    jobs.train(judge, **arguments)
  except Stopped as reason:
    print(visible(str(reason)))
