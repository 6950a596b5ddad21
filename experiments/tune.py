"""Tunes each variant of a sweep: a search over the fields that the sweep file's get_tuning() names.

python -m experiments.tune --config=configs/sweeps/quick.py --trials=8

Every variant has as many trials, on seeds that the sweep does not use; poor ones stop early. Then
python -m experiments.sweep --config=configs/sweeps/quick.py --tuned=runs/quick-tune compares the
variants at their best on the sweep's own seeds. --tune.optimizer.learning_rate=5e-5..1e-3:log, or
=1e-4,2e-4,4e-4, names a field here. Killed anywhere, the same command goes on with the same trials,
and with more --trials it adds to them.

Writes runs/<sweep>-tune/best.json and report.html. Exit code: 0 every variant has a best, 1 some
runs failed or some variant has none, 2 bad usage or config, 130 interrupted.
"""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console

from experiments.command_line import cli
from experiments.sweeping import folder_lock, interrupts, jobs, launchers, plan
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.live_table import JobStatus, LiveTable
from experiments.sweeping.plan import Plan, PlannedRun
from experiments.sweeping.workers import Event
from experiments.tuning import results, search, space
from experiments.tuning.trials import Trials
from training.errors import UserError
from training.records.run_folder import RunFolder

FLAGS = {
  "trials": (8, "values tried for each variant"),
  "tuning_seeds": ((2,), "how many seeds (1000, 1001, ...) a trial is judged on; or which: 7,8"),
  "dry_run": (False, "run nothing: show what is searched, and the most that it can cost"),
  "jobs": (1, "runs trained at a time, of different variants, each in a process with its share"),
  "only": ("", "only the variants whose name contains this text"),
  "retry": (False, "run failed runs again"),
  "launcher": (
    cli.OneOf(("local", *launchers.NAMES)),
    "where the runs train: worker processes here; or through submitit (pip install -e .[cluster])",
  ),
  "resources": ("", "for submitit's jobs: timeout_min=240,gpus_per_node=1,slurm_partition=NAME"),
  "out": ("", "the tune's folder (default: runs/<name of the sweep file>-tune)"),
}
FIRST_SEED = 1000


def main(argv: Sequence[str]) -> int:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs="configs/sweeps", tunes=True)
  if flags.jobs < 1:
    raise UserError(f"--jobs={flags.jobs}: at least one run at a time")
  launchers.check_resources(flags.launcher, flags.resources)
  sweep = plan.make(flags.config, flags.overrides)
  variants = _variants(sweep, flags.only)
  seeds = _seeds(flags.tuning_seeds, sweep)
  if flags.trials < 2:
    raise UserError(
      f"--trials={flags.trials}: fewer runs than there is to compare: "
      f"at least 2 trials for each of {len(variants)} variants"
    )
  domains = space.of(sweep.file, flags.tune, variants)
  folder = flags.out or f"{sweep.folder}-tune"
  tune = Plan(f"{sweep.name}-tune", sweep.file, folder, sweep.common, [], [])
  make = partial(_all_trials, variants, domains, tune, seeds, flags)
  if flags.dry_run:
    results.show_plan(tune, make(), seeds)
    return 0
  search.require_optuna()
  with folder_lock.only_launch(folder):
    launchers.plan_when_free(flags.launcher, lambda: _begun(tune, make()))
    return _run(tune, make(), variants, flags)


def _variants(sweep: Plan, only: str) -> dict[str, PlannedRun]:
  """A run of each variant: they differ in the seed, which tuning replaces."""
  found: dict[str, PlannedRun] = {}
  for run in sweep.runs:
    found.setdefault(run.variant, run)
  chosen = {name: run for name, run in found.items() if only in name}
  if not chosen:
    raise UserError(f"no variant's name contains {only!r}. The variants: {', '.join(found)}")
  return chosen


def _seeds(given: tuple[int, ...], sweep: Plan) -> tuple[int, ...]:
  """The tuning seeds. UserError if the sweep's own runs use one of them."""
  seeds = tuple(range(FIRST_SEED, FIRST_SEED + given[0])) if len(given) == 1 else given
  if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
    text = ",".join(map(str, given))
    raise UserError(f"--tuning_seeds={text}: how many, or different seeds such as 1000,1001")
  shared = sorted({run.config["seed"] for run in sweep.runs} & {*seeds})
  if shared:
    raise UserError(
      f"--tuning_seeds: {sweep.file} compares on seed {', '.join(map(str, shared))}; "
      "what was tuned on a seed must not be judged on it"
    )
  return seeds


def _all_trials(
  variants: dict[str, PlannedRun],
  domains: space.Space,
  tune: Plan,
  seeds: Sequence[int],
  flags: Any,
) -> list[Trials]:
  return [
    Trials(run, domains[name], tune, seeds, flags.trials, flags.retry)
    for name, run in variants.items()
  ]


def _begun(tune: Plan, all_trials: Sequence[Trials]) -> Plan:
  """The plan with the runs that an earlier launch may still be training."""
  runs = [run for trials in all_trials if (run := trials.next())]
  return Plan(tune.name, tune.file, tune.folder, tune.common, runs, [])


def _run(tune: Plan, all_trials: list[Trials], variants: dict[str, PlannedRun], flags: Any) -> int:
  first = [(trials, run) for trials in all_trials if (run := trials.next())]
  if first and _train(tune, all_trials, first, flags):
    print("stopped. Run the same command again to go on with the same trials.")
    return 130
  found = results.collect(tune, all_trials, space.of_file(tune.file, variants))
  results.write(tune.folder, found)
  results.print_best(found)
  print(f"report: {results.write_page(tune.folder)}")
  overrides = [f"--config.{key}={value}" for key, value in flags.overrides.items()]
  command = ["python -m experiments.sweep", f"--config={tune.file}", *overrides]
  print("compare them on fresh seeds:", *command, f"--tuned={os.path.normpath(tune.folder)}")
  is_whole = all(trials.best for trials in all_trials)
  failed = any(trial.outcome == "failed" for trials in all_trials for trial in trials.done)
  return 0 if is_whole and not failed else 1


def _train(
  tune: Plan, all_trials: list[Trials], first: list[tuple[Trials, PlannedRun]], flags: Any
) -> bool:
  """Trains the base policies that the trials share, then the trials; whether interrupted."""
  bases = jobs.base_policies(tune, [run for _, run in first])
  statuses = [JobStatus(job.name, is_run=False) for job in bases.values()]
  statuses += [_status_of(trials, name) for trials in all_trials for name in trials.names]
  table = LiveTable(tune.folder, statuses, flags.jobs, Console())
  for trials in all_trials:
    _leave_out(trials, table)
  with (
    launchers.make(flags.launcher, tune.folder, flags.jobs, flags.resources) as launcher,
    interrupts.stopping(launcher, table) as signals,
    table.shown(),
  ):
    failed = {}
    for event in launcher.run(list(bases.values())):
      table.update(event)
      if event.kind == "failed":
        failed[event.job.name] = f"{event.job.name}: failed, {event.reason}  ({event.job.log})"
    lost = {origin for origin, job in bases.items() if job.name in failed}
    able = [(trials, run) for trials, run in first if jobs.origin(run) not in lost]
    _carry_out(able, launcher, table)
  for line in failed.values():
    print(line)
  return bool(signals)


def _carry_out(
  first: list[tuple[Trials, PlannedRun]], launcher: Launcher, table: LiveTable
) -> None:
  """Runs these, and after each the next of its variant."""
  under_way = {run.name: (trials, run) for trials, run in first}
  for event in launcher.run([trials.job(run) for trials, run in first]):
    trials, run = under_way[event.job.name]
    if event.kind in ("failed", "diverged"):  # a worker that died could not write it down itself
      RunFolder(run.folder.path).mark(event.kind, event.reason)
    if event.kind == "finished" and trials.is_pruned(run):
      event = Event(event.job, "pruned", reason=run.folder.read_status()["reason"])
    table.update(event)
    if event.kind in ("finished", "pruned", "failed", "diverged"):
      following = trials.next()
      _leave_out(trials, table)
      if following:
        under_way[following.name] = (trials, following)
        launcher.add(trials.job(following))


def _leave_out(trials: Trials, table: LiveTable) -> None:
  """Takes the runs off the table that trials which ended early will never need."""
  per_trial = len(trials.seeds)
  for number, trial in enumerate(trials.done):
    names = trials.names[number * per_trial : (number + 1) * per_trial]
    for name in names[len(trial.runs) :]:
      table.leave_out(name)


def _status_of(trials: Trials, name: str) -> JobStatus:
  ended = {run.name: run for trial in trials.done for run in trial.runs}
  status = JobStatus(name, steps=trials.base.config["steps"])
  if name in ended:
    folder = ended[name].folder
    written = folder.read_status()
    status.state = "pruned" if trials.is_pruned(ended[name]) else written["state"]
    status.step, status.metrics = written["step"], written["metrics"]
  return status


if __name__ == "__main__":
  cli.run(main)
