"""Programs: the runs of a sweep that differ in nothing but numbers train as one population.

Each function is compiled, and called, once for all of them (training/population/).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.sweeping.plan import PlannedRun
from experiments.sweeping.workers import Event, Job
from training.errors import UserError
from training.population.programs import program_of

AUTO = 8  # where there is an accelerator; on a CPU a program of several runs gains nothing


def at_most(vectorize: str, on_accelerator: bool) -> int:
  """Returns how many runs a program may have, from --vectorize=auto, off or a number."""
  if vectorize in ("auto", "off"):
    return AUTO if vectorize == "auto" and on_accelerator else 1
  if not vectorize.isdecimal() or vectorize == "0":
    raise UserError(f"--vectorize={vectorize}: auto, off, or how many runs a program may train")
  return int(vectorize)


def of(
  runs: Sequence[PlannedRun], at_most: int, jobs: int, *, only_small: bool = False
) -> list[list[PlannedRun]]:
  """Groups the runs, in order, into programs of `at_most`, or of fewer so that all jobs work.

  `only_small`: those of pretrained models, in which launches take no time to speak of, alone.
  """
  if at_most == 1:
    return [[run] for run in runs]
  alike: dict[str, list[PlannedRun]] = {}
  for run in runs:
    is_alone = only_small and run.config["model"]["pretrained"]
    alike.setdefault(run.name if is_alone else program_of(run.config), []).append(run)
  size = at_most
  while size > 1 and sum(math.ceil(len(group) / size) for group in alike.values()) < jobs:
    size -= 1
  return [part for group in alike.values() for part in _cut(group, size)]


def begun(
  before: Sequence[Sequence[str]],
  runs: Sequence[PlannedRun],
  to_do: Sequence[PlannedRun],
  at_most: int,
) -> list[list[PlannedRun]]:
  """Of the programs of earlier launches, by names, those in which a run began that is to do.

  It goes on in one of as many places: a smaller program rounds in another way. Some of its `runs`
  may not be to do; their places stay empty.
  """
  by_name = {run.name: run for run in runs}
  wanted = {run.name for run in to_do if run.folder.checkpoint_step}
  known = [[by_name[name] for name in names] for names in before if by_name.keys() >= set(names)]
  return [
    program
    for program in known
    if len(program) <= at_most
    and wanted & {run.name for run in program}
    and len({program_of(run.config) for run in program}) == 1  # one may have been started anew
  ]


def _cut(group: list[PlannedRun], size: int) -> Iterator[list[PlannedRun]]:
  """Cuts the group into as few parts as possible, of about equal length."""
  parts = math.ceil(len(group) / size)
  for i in range(parts):
    yield group[i * len(group) // parts : (i + 1) * len(group) // parts]


class News:
  """Turns the events of programs into events of their runs."""

  def __init__(self):
    self._ended: set[str] = set()
    self._latest: dict[str, Mapping[str, Any]] = {}

  def of_runs(self, event: Event) -> Iterator[Event]:
    """Yields the event itself, or those of the members of its job."""
    members = {member.name: member for member in event.job.members}
    if not members:
      yield event
    elif event.kind == "progress":
      for name, row in event.progress["runs"].items():
        if name in members and row != self._latest.get(name):
          self._latest[name] = row
          yield from self._of_run(members[name], dict(row))
    else:  # started; or the end of those that did not end before
      if event.kind == "finished":
        event = Event(event.job, "failed", reason="it ended without saying how")
      for name, member in members.items():
        if name not in self._ended:
          yield Event(member, event.kind, reason=event.reason)

  def _of_run(self, run: Job, row: dict[str, Any]) -> Iterator[Event]:
    state, reason = row.pop("state", ""), row.pop("reason", "")
    yield Event(run, "progress", progress=row)
    if state:
      self._ended.add(run.name)
      yield Event(run, state, reason=reason)
