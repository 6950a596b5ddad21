"""The runs of a sweep, read back from their folders and compared over seeds.

Only finished runs count in a mean. The base policy's values are the runs' own rows of step 0.
"""

import collections
import dataclasses
import datetime
import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from comparing import archive, runs
from comparing.runs import Run, RunSet
from training.errors import UserError
from training.estimates import Estimate, estimate

REWARD, SAMPLED, KL = "eval/reward", "eval/reward_sampled", "eval/kl"

Measure = Callable[[Run], float | None]  # reads one number of a run; None: the run lacks it


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
  """Runs that differ only in their seeds; if they differ in more, `problem` says in what."""

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

  @property
  def problem(self) -> str:
    """A sentence, if these runs differ in more than their seeds or have a seed in common; or ""."""
    known = [run for run in self.runs if run.config]
    settings = [run.settings for run in known]
    fields = dict.fromkeys(field for found in settings for field in found)
    differ = [f for f in fields if any(s.get(f) != settings[0].get(f) for s in settings)]
    if differ:
      more = ", …" if len(differ) > 4 else ""
      what = f"differ in more than their seeds ({', '.join(differ[:4])}{more})"
      return f"The runs of {self.name} {what}: its mean and interval mix them."
    again = [seed for seed, n in collections.Counter(run.seed for run in known).items() if n > 1]
    if again:
      return f"{self.name} has several runs of seed {again[0]}: only one of them is paired by seed."
    return ""

  def values(self, measure: Measure) -> list[float]:
    """The measure of each finished run that has it."""
    return [found for run in self.finished if (found := measure(run)) is not None]

  def mean(self, measure: Measure) -> Estimate | None:
    return estimate(self.values(measure))

  def final(self, metric: str) -> Estimate | None:
    return self.mean(at_end(metric))

  def gain(self, metric: str) -> Estimate | None:
    """The final value minus the base policy's, each run against its own step 0."""
    return self.mean(lambda run: _difference(run.final(metric), run.start(metric)))

  def minus(self, other: "Variant", measure: Measure) -> Estimate | None:
    """The paired difference, over the seeds that both have finished."""
    theirs = {run.seed: measure(run) for run in other.finished}
    mine = {run.seed: measure(run) for run in self.finished}
    common = sorted(mine.keys() & theirs.keys())
    return estimate(_difference(mine[seed], theirs[seed]) for seed in common)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
  """All that the terminal table and the page show. `variants` are in the order of the sweep."""

  name: str
  folders: tuple[str, ...]
  date: str  # when the last run ended
  commit: str  # of the code that the runs ran
  file: str  # the sweep file
  variants: tuple[Variant, ...]
  baseline: Variant  # the variant that the others are compared with

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
      json.dumps([run.config.get(part) for part in parts]) for run in self.runs if len(run.rows)
    }
    return len(origins) == 1

  def base(self, metric: str) -> float | None:
    """The base policy's value of `metric`, averaged over the runs; None if there is no one base."""
    starts = estimate(run.start(metric) for run in self.runs) if self.has_one_base else None
    return starts.mean if starts else None

  @property
  def others(self) -> list[Variant]:
    """The variants that are compared with the baseline."""
    return [variant for variant in self.variants if variant is not self.baseline]

  @property
  def problems(self) -> list[str]:
    return [variant.problem for variant in self.variants if variant.problem]

  @functools.cached_property
  def shared(self) -> set[str]:
    """The eval/ metrics that at least two variants have; all of them, if there is one variant."""
    counts = collections.Counter(
      metric for variant in self.variants for metric in _evaluated(variant)
    )
    return {metric for metric, n in counts.items() if n >= min(2, len(self.variants))}

  @property
  def nothing_shared(self) -> str:
    """A sentence, if no two variants have an eval/ metric in common; or ""."""
    having = [(variant.name, sorted(_evaluated(variant))) for variant in self.variants]
    if self.shared or not any(metrics for _, metrics in having):
      return ""
    texts = [f"{name} has {metrics[0] if metrics else 'none'}" for name, metrics in having[:4]]
    more = ", …" if len(having) > 4 else ""
    return (
      "No two variants have an eval/ metric in common, so nothing can be compared "
      f"({', '.join(texts)}{more})."
    )


def at_end(metric: str) -> Measure:
  return lambda run: run.final(metric)


def read(*folders: str, baseline: str = "") -> Comparison:
  """Reads the sweeps, or single runs, in `folders`, some of which may be archives.

  Raises UserError if a folder holds no runs, or no variant has the name `baseline`.
  """
  run_sets = [
    archive.read(path) if archive.is_archive(path) else runs.read_run_set(path)
    for path in dict.fromkeys(map(os.path.normpath, folders))
  ]
  variants = tuple(Variant(name, tuple(found)) for name, found in _merge(run_sets).items())
  names = [variant.name for variant in variants]
  if baseline and baseline not in names:
    raise UserError(f"no variant {baseline!r} to be the baseline; there are: {', '.join(names)}")
  everyone = [run for variant in variants for run in variant.runs]
  return Comparison(
    name=" + ".join(run_set.head.get("name") or run_set.name for run_set in run_sets),
    folders=tuple(folders),
    date=_date(max((run.status.get("time", 0.0) for run in everyone), default=0.0)),
    commit=_one_or_several([run.env.get("git") or "" for run in everyone]),
    file=_one_or_several([run_set.head.get("file", "") for run_set in run_sets]),
    variants=variants,
    baseline=variants[names.index(baseline) if baseline else 0],
  )


def _merge(run_sets: Sequence[RunSet]) -> dict[str, list[Run]]:
  """Returns the runs by variant, each run once.

  Runs of one name in several folders are one variant if they differ only in their seeds; otherwise
  the folder's name is put before the variant's.
  """
  found: dict[str, tuple[RunSet, Run]] = {}  # by path
  for run_set in run_sets:
    for run in run_set.runs:
      found.setdefault(os.path.realpath(run.folder.path), (run_set, run))
  named: dict[str, list[tuple[RunSet, Run]]] = {}
  for run_set, run in found.values():
    named.setdefault(run.variant, []).append((run_set, run))
  apart = {
    name
    for name, members in named.items()
    if len({id(run_set) for run_set, _ in members}) > 1
    and not _differ_in_seed_alone([run for _, run in members])
  }
  names = [run_set.name for run_set in run_sets]
  variants: dict[str, list[Run]] = {}
  for run_set, run in found.values():
    place = run_set.name if names.count(run_set.name) == 1 else run_set.folder
    label = f"{place}/{run.variant}" if run.variant in apart else run.variant
    variants.setdefault(label, []).append(run)
  return variants


def _differ_in_seed_alone(members: Sequence[Run]) -> bool:
  settings = {json.dumps(run.settings, sort_keys=True) for run in members}
  return len(settings) == 1 and len({run.seed for run in members}) == len(members)


def _evaluated(variant: Variant) -> set[str]:
  return {name for run in variant.runs for name in run.rows.names if name[:5] == "eval/"}


def _difference(a: float | None, b: float | None) -> float | None:
  return None if a is None or b is None else a - b


def _date(when: float) -> str:
  """Formats a unix time as 2026-11-21 06:44; "" for 0."""
  return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") if when else ""


def _one_or_several(values: Sequence[str]) -> str:
  return ", ".join(dict.fromkeys(value for value in values if value))
