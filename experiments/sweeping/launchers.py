"""Where a sweep's jobs run, by the name that --launcher gives it: on this machine, or a cluster."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from experiments.sweeping import cluster, jobs, plan, programs
from experiments.sweeping.plan import Plan
from experiments.sweeping.workers import Event, Job, Pool
from training.errors import UserError
from training.records import environment

NAMES = ("local", *cluster.LAUNCHERS)
WORKERS_END = 60  # seconds that a worker may take to stop when its sweep is gone


@runtime_checkable  # the tests check what is passed for one
class Launcher(Protocol):
  """Runs jobs, a number of them at a time; use it in a `with`."""

  def __enter__(self) -> "Launcher": ...

  def __exit__(self, *_: object) -> None: ...

  def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
    """Runs the jobs and tells what happens to them; ends when all did, or soon after `stop`."""
    ...

  def add(self, job: Job) -> None:
    """One more job for the `run` that just told of an event: it follows those that wait."""
    ...

  def stop(self) -> None:
    """Stops the jobs and starts no more. May be called at any time, and twice."""
    ...


def make(name: str, folder: str, size: int, resources: str) -> Launcher:
  """Makes the launcher for the sweep in `folder`. UserError when it cannot work here."""
  if name == "local":
    return Pool(size, jobs.environment(size))
  os.environ.update(jobs.environment(1))  # the jobs inherit it; each has a device of its own
  return cluster.Cluster(name, folder, size, resources)


def check_resources(name: str, resources: str) -> None:
  """Raises UserError if --resources is given for worker processes, which have none."""
  if resources and name == "local":
    raise UserError(f"--resources={resources}: for --launcher=slurm and the like only")


def runs_a_program(name: str, vectorize: str) -> int:
  """Returns how many runs a program may have. UserError when --vectorize is none of its words."""
  if name == "submitit-debug":  # runs in this process, whose output members would redirect
    return 1
  return programs.at_most(vectorize, name == "slurm" or environment.has_accelerator())


def live_runs(name: str, folder: str) -> Collection[str]:
  """Returns the runs that jobs of an earlier launch of this sweep train: a launch joins them."""
  return cluster.live_runs(folder) if name == "slurm" else ()


def plan_when_free(name: str, make_plan: Callable[[], Plan]) -> Plan:
  """Makes the plan once no process trains its runs: a killed sweep's workers end soon after it.

  SLURM's jobs do not end, and are joined. UserError, naming the runs, if others are still trained.
  """
  deadline = time.monotonic() + WORKERS_END
  while True:
    sweep = make_plan()
    live = live_runs(name, sweep.folder)
    others = [run for run in sweep.runs if run.name not in live]
    if all(run.state != "running" for run in others) or time.monotonic() > deadline:
      plan.refuse_running(others)
      return sweep
    time.sleep(1)
