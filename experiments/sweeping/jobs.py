"""The jobs of a sweep: the sweep makes them, and a worker process does them.

The functions that a worker calls import jax when called: the sweep's own process never loads it.
"""

import gc
import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from experiments.sweeping import worker
from experiments.sweeping.plan import Plan, PlannedRun
from experiments.sweeping.workers import Job
from training.records import compiled_programs
from training.records.earlier import set_damaged_aside
from training.records.environment import HUGE_PAGES, nvidia_gpus
from training.records.hold import held
from training.records.run_folder import Report, RunFolder

ROOT = "runs"  # all sweeps share its base policies, its data sets and its compilation cache


def training(
  sweep: Plan,
  runs: Sequence[PlannedRun],
  from_earlier: bool = False,
  resting: Collection[str] = (),
) -> Job:
  """One job for one run, or for several that one program can train (`programs.of`).

  `from_earlier`: they go on from the checkpoint before one that is damaged. `resting` names those
  that are not trained, and keep a place in the program.
  """
  log = os.path.join(sweep.folder, "programs.txt")
  return together([_training_one(sweep, run, from_earlier) for run in runs], log, resting)


def together(members: Sequence[Job], log: str, resting: Collection[str] = ()) -> Job:
  """Joins the runs' own jobs into one; `log` takes the output that belongs to none of them."""
  if len(members) == 1:
    return members[0]
  runs = [{"name": job.name, "log": job.log, "arguments": job.arguments} for job in members]
  program = Job("", f"{__name__}:train_together", {"runs": runs}, log, tuple(members))
  return without(program, resting)


def without(program: Job, resting: Collection[str]) -> Job:
  """The job of a program, in which runs of these names are not trained, and keep their places."""
  first, *others = [member for member in program.members if member.name not in resting]
  name = f"{first.name} and {len(others)} more" if others else first.name
  runs = [
    run | {"rests": run.get("rests", False) or run["name"] in resting}
    for run in program.arguments["runs"]
  ]
  return Job(name, program.function, {"runs": runs}, program.log, (first, *others))


def _training_one(sweep: Plan, run: PlannedRun, from_earlier: bool) -> Job:
  about = {
    "digest": run.digest,
    "digests": run.digests,
    "config_file": run.config_file,
    "variant": run.variant,
  }
  about |= {"sweep": sweep.name, "command": run.command}
  arguments = {"folder": run.folder.path, "config": run.config} | about
  arguments |= {"from_earlier": True} if from_earlier else {}
  return Job(run.name, "experiments.sweeping.jobs:train", arguments, run.folder.log)


def base_policies(sweep: Plan, runs: Sequence[PlannedRun]) -> dict[str, Job]:
  """Returns a job for each base policy that the runs start from, by its `origin`."""
  configs = {origin(run): run.config for run in runs if _teaches(run.config["base"])}
  log = os.path.join(sweep.folder, "base_policy.txt")
  jobs = {}
  for number, (key, config) in enumerate(configs.items(), start=1):
    name = f"base policy {number} (SFT)" if len(configs) > 1 else "base policy (SFT)"
    jobs[key] = Job(name, "experiments.sweeping.jobs:prepare_base_policy", {"config": config}, log)
  return jobs


def _teaches(base: Mapping[str, Any]) -> bool:
  """Whether a `base` section asks for an SFT."""
  return base["steps"] > 0 and not base["run"]


def origin(run: PlannedRun) -> str:
  """Returns the settings of a base policy: runs of one origin start from the same weights."""
  return json.dumps([run.config[section] for section in ("task", "model", "base")])


def environment(workers: int) -> dict[str, str]:
  """Returns the workers' environment: they share compiled programs and an accelerator's memory."""
  ours = HUGE_PAGES | compiled_programs.kept_below(ROOT)
  on_a_gpu = math.ceil(workers / max(len(nvidia_gpus()), 1))
  by_user = "XLA_PYTHON_CLIENT_MEM_FRACTION" in os.environ  # jaxlib refuses both
  if on_a_gpu > 1 and not by_user:  # each would take 75 % of its memory otherwise
    ours["XLA_CLIENT_MEM_FRACTION"] = f"{0.9 / on_a_gpu:.3f}"
  return ours | os.environ


def prepare_base_policy(report: Report, *, config: Mapping[str, Any]) -> None:
  """Trains the base policy that this config starts from, unless it is there already."""
  from training import base_policy

  base_policy.ensure(ConfigDict(config), ROOT, report)


def train(
  report: Report,
  *,
  folder: str,
  config: Mapping[str, Any],
  from_earlier: bool = False,
  **about: Any,
) -> None:
  """Trains, or resumes, the run in `folder`; `about` is what RunFolder.create takes."""
  from training import assembly

  run = RunFolder(folder)
  with held(run):
    for line in set_damaged_aside(run) if from_earlier else ():
      print(line)
      report({"warning": line})
    with run.recording_outcome():
      run.create(config, **about)
      assembly.train(ConfigDict(config), run, ROOT, report)


def train_together(report: Report, *, runs: Sequence[Mapping[str, Any]]) -> None:
  """Trains, or resumes, these runs as one program. One that diverges or raises fails alone.

  If there is too little memory for all, they go on from their last checkpoints in programs of half
  as many. Those that rest, and those that finished or diverged before the program was queued again,
  stay as they are.

  `report` gets {"runs": {name: its latest row}} whenever one has news; {"state", "reason"} is its
  last. What a member prints goes to its own log.
  """
  latest: dict[str, dict[str, Any]] = {}

  def tell(name: str, row: dict[str, Any]) -> None:
    before = latest.get(name, {})
    latest[name] = {key: old for key, old in before.items() if key != "doing"} | row
    report({"runs": latest})

  waiting = [list(runs)]
  while waiting:
    program, *waiting = waiting
    if left := _train_program(program, tell):
      half = math.ceil(len(program) / 2)
      tell(left[0]["name"], {"warning": f"too little memory for {len(program)} runs: {half} each"})
      waiting = [each[i : i + half] for each in (left, *waiting) for i in range(0, len(each), half)]


def _train_program(
  runs: Sequence[Mapping[str, Any]], tell: Callable[[str, dict[str, Any]], None]
) -> list[Mapping[str, Any]]:
  """Trains these runs as one program; returns those, of several, that it had no memory for."""
  from training import memory
  from training.population.lockstep import Population

  left = []

  def member(run: Mapping[str, Any]) -> None:
    if run.get("rests"):
      return
    name, arguments = run["name"], run["arguments"]
    folder = RunFolder(arguments["folder"])

    def attempt() -> None:
      try:
        train(partial(tell, name), **arguments)
      except Exception as error:
        if len(runs) == 1 or not memory.is_exhausted(error):
          raise
        print(f"too little memory in a program of {len(runs)} runs: {error}")
        folder.mark("stopped", "too little memory")
        left.append(run)

    ended: dict[str, str] = {}

    def look() -> None:
      if (state := folder.state(arguments["digest"])) in ("finished", "diverged"):
        ended.update(state=state, reason=folder.read_status()["reason"])
      else:
        attempt()

    outcome = worker.outcome_of(look)
    if run not in left:
      tell(name, ended or outcome)

  def turn(index: int) -> None:
    worker.print_to(runs[index]["log"])

  Population([partial(member, run) for run in runs], turn).train()
  gc.collect()  # members and their population know each other, and what lies on the devices
  return left
