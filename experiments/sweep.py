"""Trains every run of a sweep file, or of fields with several values, and compares them.

python -m experiments.sweep --config=configs/sweeps/quick.py
python -m experiments.sweep --config=configs/grpo.py --sweep.algorithm.loss=grpo,rloo --seeds=3

The runs are planned and checked before anything runs. Finished runs are skipped and interrupted
ones go on from their last checkpoint: repeat the command until all are done. A run that diverges or
crashes fails alone. --config.steps=200 and the like override a field of every run.

Writes runs/<sweep>/report.html and results.csv. Exit code: 0 all finished, 1 some failed, 2 bad
usage or config, 130 interrupted.
"""

import glob
import itertools
import os
import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from comparing import terminal_table
from experiments import report
from experiments.command_line import cli, for_target
from experiments.sweeping import (
  folder_lock,
  interrupts,
  jobs,
  launchers,
  plan,
  plan_table,
  programs,
  wandb_sweep,
)
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.live_table import JobStatus, LiveTable
from experiments.sweeping.plan import Plan, PlannedRun
from experiments.sweeping.workers import Job
from experiments.tuning import results
from tasks.visible_text import visible
from training.errors import UserError
from training.population.programs import program_of
from training.records import environment, files, run_folder
from training.records.hold import is_held

FLAGS = {
  "dry_run": (
    cli.OneOf(("", "plan", "commands", "wandb")),
    "run nothing: show the plan; or only the commands, one a line; or a `wandb sweep` file",
  ),
  "jobs": (1, "runs trained at a time, each in a process with its share of the machine"),
  "vectorize": ("auto", "runs trained as one program if they differ in numbers only: auto, off, N"),
  "only": ("", "only the runs whose name contains this text"),
  "retry": (False, "run failed and diverged runs again"),
  "from_earlier": (False, "where a run's last checkpoint is damaged, go on from the one before it"),
  "fail_fast": (False, "stop at the first run that fails"),
  "target": ("", "compile its programs for v5e-4, h100-8, ..., without one; train nothing"),
  "launcher": (
    cli.OneOf(("local", *launchers.NAMES)),
    "where the runs train: worker processes here; or through submitit (pip install -e .[cluster])",
  ),
  "resources": ("", "for submitit's jobs: timeout_min=240,gpus_per_node=1,slurm_partition=NAME"),
  "tuned": ("", "the values that experiments.tune found: its folder, or a copy of its best.json"),
  "out": ("", "the sweep's folder (default: runs/<name of the sweep file>)"),
  "seeds": (0, "of one config: each setting with the seeds 0, 1, ... below this number"),
}


def main(argv: Sequence[str]) -> int:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs="configs/sweeps", sweeps=True)
  if flags.jobs < 1:
    raise UserError(f"--jobs={flags.jobs}: at least one run at a time")
  launchers.check_resources(flags.launcher, flags.resources)
  launchers.runs_a_program(flags.launcher, flags.vectorize)  # checks --vectorize
  swept = _swept(flags)
  make_plan = partial(plan.make, flags.config, flags.overrides, flags.out, swept)
  sweep = make_plan()
  tuning = results.read(flags.tuned) if flags.tuned else {}
  if tuning:
    make_plan = partial(make_plan, tuned=results.values(flags.tuned, tuning, sweep))
    sweep = make_plan()
  chosen = _choose(sweep, flags.only)
  if flags.target:
    return for_target.compile_sweep(flags.target, _kinds(chosen))
  if flags.dry_run == "plan":
    plan_table.show(sweep, chosen, _programs(sweep, _to_do(chosen, flags), flags))
  elif flags.dry_run:
    _SHOW[flags.dry_run](sweep, chosen)
  if flags.dry_run:
    return 0
  plan.refuse_changed(sweep.runs)  # all runs, as they are compared with each other
  with folder_lock.only_launch(sweep.folder):
    if tuning:
      results.write(sweep.folder, tuning)  # for the report
    return _run(launchers.plan_when_free(flags.launcher, make_plan), flags)


def _kinds(runs: Sequence[PlannedRun]) -> dict[str, ConfigDict]:
  """A config of each kind of runs that compile the same programs, by their names."""
  alike: dict[tuple, list[PlannedRun]] = {}
  for run in runs:
    mesh = run.config["mesh"]
    program = program_of(run.config | {"mesh": dict.fromkeys(mesh, 1)})
    alike.setdefault((program, *mesh.values()), []).append(run)
  kinds = alike.values()
  return {" ".join(run.name for run in kind): ConfigDict(kind[0].config) for kind in kinds}


def _swept(flags: Any) -> dict[str, list[Any]]:
  """The fields of the command line that have several values; the seeds come first."""
  if flags.seeds < 0:
    raise UserError(f"--seeds={flags.seeds}: how many seeds, from 0")
  if flags.seeds and ("seed" in flags.overrides or "seed" in flags.swept):
    raise UserError(f"--seeds={flags.seeds} are 0 to {flags.seeds - 1}: give no other seed")
  seeds = {"seed": list(range(flags.seeds))} if flags.seeds else {}
  return seeds | flags.swept


def _choose(sweep: Plan, only: str) -> list[PlannedRun]:
  chosen = [run for run in sweep.runs if only in run.name]
  if not chosen:
    names = ", ".join(run.name for run in sweep.runs)
    raise UserError(f"no run's name contains {only!r}. The runs: {names}")
  return chosen


def _run(sweep: Plan, flags: Any) -> int:
  """Trains what is left to do and prints the comparison; returns the exit code."""
  chosen = _choose(sweep, flags.only)
  _write_sweep(sweep)
  to_do = _to_do(chosen, flags)
  if to_do and _train(sweep, chosen, to_do, flags):
    print("stopped. Run the same command again to go on: finished runs are skipped,")
    print("the rest resume from their last checkpoint.")
    return 130
  finished = [run for run in chosen if run.folder.state(run.digest) == "finished"]
  if not to_do:
    failed = len(chosen) - len(finished)
    again = f", {failed} failed (--retry runs them again)" if failed else ""
    print(f"{sweep.folder}: nothing to do, {len(finished)}/{len(chosen)} runs finished{again}")
  _print_end(sweep.folder)
  return 0 if len(finished) == len(chosen) else 1


def _to_do(chosen: Sequence[PlannedRun], flags: Any) -> list[PlannedRun]:
  done = {"finished"} if flags.retry else {"finished", "failed", "diverged"}
  done -= {"failed"} if flags.from_earlier else set()  # with a damaged checkpoint, say
  return [run for run in chosen if run.state not in done]


def _programs(sweep: Plan, runs: Sequence[PlannedRun], flags: Any) -> list[list[PlannedRun]]:
  """The programs of the runs to do; some may have places of others (`programs.begun`)."""
  at_most = launchers.runs_a_program(flags.launcher, flags.vectorize)
  before = files.read_json(_about(sweep)).get("programs", [])
  go_on = programs.begun(before, sweep.runs, runs, at_most)
  there = {run.name for program in go_on for run in program}
  rest = [run for run in runs if run.name not in there]
  return go_on + programs.of(rest, at_most, flags.jobs, only_small=flags.vectorize == "auto")


def _train(
  sweep: Plan, chosen: Sequence[PlannedRun], to_do: Sequence[PlannedRun], flags: Any
) -> bool:
  """Trains the base policies that the runs share, then the runs; returns whether interrupted."""
  live = launchers.live_runs(flags.launcher, sweep.folder)
  for run in to_do:
    # From its last checkpoint it would only diverge again.
    if run.state == "diverged" and run.name not in live:
      run.folder.clear()
  bases = jobs.base_policies(sweep, to_do)
  statuses = [JobStatus(job.name, is_run=False) for job in bases.values()]
  statuses += [_status_of(run, is_done=run not in to_do) for run in chosen]
  table = LiveTable(sweep.folder, statuses, flags.jobs, Console())
  with (
    launchers.make(flags.launcher, sweep.folder, flags.jobs, flags.resources) as launcher,
    interrupts.stopping(launcher, table) as signals,
    table.shown(),
  ):
    failed = _carry_out(list(bases.values()), launcher, table, flags.fail_fast)
    lost = {origin: job for origin, job in bases.items() if job.name in failed}
    able = [run for run in to_do if jobs.origin(run) not in lost]
    parts = _programs(sweep, able, flags)
    _note_programs(sweep, parts)
    resting = {run.name for part in parts for run in part} - {run.name for run in able}
    tasks = [jobs.training(sweep, runs, flags.from_earlier, resting) for runs in parts]
    _carry_out(tasks, launcher, table, flags.fail_fast)
  for job in lost.values():
    print(visible(f"{job.name}: failed, {failed[job.name]}  ({job.log})"))
  return bool(signals)


def _carry_out(
  tasks: list[Job], launcher: Launcher, table: LiveTable, fail_fast: bool
) -> dict[str, str]:
  """Runs the jobs; returns the names of those that failed, with the reason."""
  failed, news = {}, programs.News()
  for event in itertools.chain.from_iterable(map(news.of_runs, launcher.run(tasks))):
    table.update(event)
    if event.kind in ("failed", "diverged"):
      failed[event.job.name] = event.reason
      if "folder" in event.job.arguments:  # a worker that died could not write it down itself
        folder = run_folder.RunFolder(event.job.arguments["folder"])
        if not is_held(folder):  # by an experiments.train beside this sweep
          folder.mark(event.kind, event.reason)
      if fail_fast and len(failed) == 1:  # once: a second stop would kill the workers
        launcher.stop()
  return failed


def _print_commands(sweep: Plan, runs: Sequence[PlannedRun]) -> None:
  for run in runs:
    if run.state != "finished":
      print(run.command)


_SHOW = {"commands": _print_commands, "wandb": wandb_sweep.show}


def _status_of(run: PlannedRun, is_done: bool) -> JobStatus:
  written = run.folder.read_status()
  status = JobStatus(run.name, run.state if is_done else "queued", steps=run.config["steps"])
  status.step, status.metrics = written.get("step", 0), written.get("metrics", {})
  return status


def _write_sweep(sweep: Plan) -> None:
  """Writes sweep.json with all runs of the plan, also those that --only leaves out.

  The date and the commit stay those of the first launch; each run's env.json has its own. So do the
  programs that runs began in.
  """
  runs = [
    {
      "name": run.name,
      "variant": run.variant,
      "config": run.config_file,
      "overrides": run.overrides,
    }
    for run in sweep.runs
  ]
  launch = {"created": time.time(), "commit": environment.git_commit(), "programs": []}
  launch |= {key: old for key, old in files.read_json(_about(sweep)).items() if key in launch}
  files.write_json(_about(sweep), {"name": sweep.name, "file": sweep.file, **launch, "runs": runs})


def _note_programs(sweep: Plan, parts: Sequence[Sequence[PlannedRun]]) -> None:
  """Keeps in sweep.json which runs train as one program, in the place of what was there of them."""
  about, now = files.read_json(_about(sweep)), {run.name for part in parts for run in part}
  before = [names for names in about["programs"] if not now & set(names)]
  begin = [[run.name for run in part] for part in parts if len(part) > 1]
  files.write_json(_about(sweep), about | {"programs": before + begin})


def _about(sweep: Plan) -> str:
  return os.path.join(sweep.folder, "sweep.json")


def _print_end(folder: str) -> None:
  terminal_table.print_table(folder)
  print(f"report: {report.write(folder)}")
  _delete_wandb_stubs(folder)
  if glob.glob(os.path.join(folder, "wandb", "offline-run-*")):
    print(f"W&B: wandb sync {folder}/wandb/offline-run-*")
    print(f"terminal: wandb leet {folder}/wandb")


def _delete_wandb_stubs(folder: str) -> None:
  """Deletes offline runs that a kill left without a row: one makes `wandb sync` fail for all."""
  for path in glob.glob(os.path.join(folder, "wandb", "offline-run-*", "run-*.wandb")):
    if os.path.getsize(path) < 1024:
      shutil.rmtree(os.path.dirname(path))


if __name__ == "__main__":
  cli.run(main)
