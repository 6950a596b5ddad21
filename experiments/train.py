"""Trains one policy from a config file, or one for each value of a few fields.

python -m experiments.train --config=configs/grpo.py:k=8 --config.optimizer.learning_rate=1e-4
python -m experiments.train --config=configs/grpo.py --sweep.optimizer.learning_rate=1e-4,2e-4 \\
  --seeds=3

The first writes runs/<run>/: metrics.jsonl, completions.jsonl, checkpoints and W&B's files. Typed
again, it goes on from the last checkpoint, or says that the run is finished. The second is a sweep
of six runs with a report, in runs/grpo-sweep-lr/; it takes the flags of experiments.sweep, such as
--jobs=2 and --dry_run, and ends with its exit codes. Exit code of one run: 0 finished, 2 bad usage
or config, 3 diverged, 130 interrupted.

On several machines start it once on each, with the same arguments and --distributed (TPU pods,
SLURM, Open MPI, Kubernetes: jax finds the others), or with the address of the first and numbers:
--coordinator=HOST:PORT --processes=2 --process=0
"""

import contextlib
import math
import os
import shlex
from collections.abc import Sequence
from typing import Any

import yaml
from ml_collections import ConfigDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comparing.safe_text import safe_text
from experiments.command_line import cli, endings, for_target, long_work_bar, progress_line
from tasks.visible_text import visible
from training import load_config, run
from training.checking import digests, text_summary
from training.errors import UserError
from training.records import compiled_programs, environment, run_names
from training.records.run_folder import RunFolder

FLAGS = {
  "out": ("", "the run's folder (default: runs/<name made of the config and its overrides>)"),
  "into": ("", "the folder below which the run's own is (default: runs); it is named as ever"),
  "seeds": (0, "a sweep: the config, and each value of --sweep.FIELD, with so many seeds"),
  "group": ("", "the sweep that the run is of: its group in W&B"),
  "overwrite": (False, "delete the run that is there and start again"),
  "from_earlier": (False, "if the last checkpoint is damaged, go on from the one before it"),
  "dry_run": (False, "print the resolved config, the memory and the folder; train nothing"),
  "target": ("", "compile its programs for v5e-4, h100-8, ..., without one; train nothing"),
  "distributed": (False, "one of several processes that train together; jax finds the others"),
  "coordinator": ("", "one of several processes: host:port where the first of them listens"),
  "processes": (1, "with --coordinator: how many there are"),
  "process": (0, "with --coordinator: which this is, from 0"),
}


def main(argv: Sequence[str]) -> int:
  if any(word.startswith(("--sweep.", "--seeds")) for word in argv):
    from experiments import sweep

    return sweep.main(argv)
  args = cli.parse(argv, __doc__, FLAGS, sweeps=True)
  if args.target:
    return for_target.compile_for(args.target, load_config(args.config, args.overrides))
  # jax reads them when it is imported, which the code of one's own task may do.
  compiled_programs.keep_below(run.ROOT)
  config = load_config(args.config, args.overrides)
  path = args.out or os.path.join(args.into or run.ROOT, run_name(args.config, args.overrides))
  is_alone = not (args.distributed or args.coordinator)
  as_ever = not (args.dry_run or args.overwrite or args.from_earlier)
  if is_alone and as_ever and run.is_finished(config, path):
    say_finished(path)
    return 0
  with long_work_bar.shown():
    run.check(config)
  if args.dry_run:
    print(yaml.safe_dump(config.to_dict(), sort_keys=False), end="")
    print(f"# {args.config} -> {path}  (config {digests.of_run(config)['digest']})")
    for line in text_summary.describe(config):
      print(visible(f"# data: {line}"))
    print(f"# memory: {memory_needed(config)}")
    return 0

  check_processes(args)
  environment.with_huge_pages("experiments.train")
  endings.as_by_hand()
  if config.source == "offline":
    # Its import replaces the import statement for a while; the progress bar's thread would trip.
    import tensorflow_datasets  # noqa: F401  # pyrefly: ignore
  train(config, path, args, command="python -m experiments.train " + shlex.join(argv))
  return 0


def train(config: ConfigDict, path: str, args, command: str) -> None:
  """Trains with a progress bar, or says that the run is finished."""
  processes, is_first = 1, True
  if args.distributed or args.coordinator:
    from training import hosts

    processes = hosts.join(args.coordinator, args.processes, args.process)
    is_first = hosts.is_first()
  files = RunFolder(path)
  shown = Shown(config, files)
  try:
    with shown:
      run.train(
        config,
        path,
        report=shown.report if is_first else lambda row: None,
        overwrite=args.overwrite,
        from_earlier=args.from_earlier,
        processes=processes,
        config_file=args.config,
        sweep=args.group,
        command=command,
      )
  except KeyboardInterrupt:
    if shown.has_begun:
      print(progress_line.stopped(files))
    raise
  if shown.has_begun:
    print(progress_line.done(files, config))
  elif is_first:
    say_finished(path)


def say_finished(path: str) -> None:
  step = run.load_run(path).latest_step
  print(f"{path}: finished already (step {step}); --overwrite to start again")


class Shown(contextlib.AbstractContextManager):
  """A run on the terminal: a head when it begins, then a bar with the numbers that matter."""

  def __init__(self, config: ConfigDict, files: RunFolder):
    self._config, self._files = config, files
    self._progress = Progress(
      TextColumn("{task.description:<12}"),
      BarColumn(),
      MofNCompleteColumn(),
      TextColumn("{task.fields[numbers]}"),
      TimeRemainingColumn(),
    )
    self._bar = self._progress.add_task("base policy", total=None, numbers="")
    self._latest: dict[str, Any] = {}
    self.has_begun = False

  def __exit__(self, *_: object) -> None:
    if self.has_begun:
      self._progress.stop()

  def report(self, row: dict[str, Any]) -> None:
    """Shows a row of metrics, a warning, or what is being prepared."""
    if not self.has_begun:
      self.has_begun = True
      print_head(self._config, self._files.path)
      if step := self._files.checkpoint_step:
        print(f"resuming at step {step}")
        self._latest = self._files.read_status().get("metrics", {})
      self._progress.start()
    if "warning" in row:
      self._progress.console.print(safe_text(f"warning: {row['warning']}"))
      return
    if "doing" not in row:
      self._latest |= row
    self._progress.update(
      self._bar,
      description=row.get("doing", "train"),
      completed=row["step"],
      total=row["steps"],
      numbers=progress_line.numbers(self._config, self._latest),
    )


def print_head(config: ConfigDict, path: str) -> None:
  """The run in a line, its data, and a hint where jax misses a GPU."""
  from training.devices import accelerator_hint, device_line

  name = os.path.basename(os.path.normpath(path))
  print(f"{name}  {config.algorithm.loss}  K={config.group_size}  seed {config.seed}", end="  ")
  print(f"{device_line()} {config.model.dtype}  → {path}")
  for line in text_summary.describe(config):
    print(visible(f"data: {line}"))
  if accelerator_hint():
    print(accelerator_hint())


def run_name(config_file: str, overrides: dict[str, Any]) -> str:
  settings = {key: value for key, value in overrides.items() if not key.startswith("wandb.")}
  return run_names.run_name(config_file, settings)


def memory_needed(config: ConfigDict) -> str:
  """The memory it takes of each device, in a line.

  UserError when those of this machine are too small.
  """
  import jax

  from training import build, memory, trial
  from training.checking.config_task import task_of

  parts = build.put_together(config, task_of(config))
  trial.check_loss(parts)
  if math.prod(config.mesh.to_dict().values()) <= jax.device_count():  # else another machine's
    memory.check(parts)
  return memory.describe(memory.estimate(parts))


def check_processes(args) -> None:
  """UserError when the flags for several processes do not make sense together."""
  if args.coordinator and (args.distributed or ":" not in args.coordinator):
    raise UserError(
      f"--coordinator={args.coordinator}: give it as HOST:PORT, without --distributed, or "
      "--distributed alone where jax finds the processes by itself"
    )
  if args.coordinator and not 0 <= args.process < args.processes:
    raise UserError(
      f"--process={args.process} --processes={args.processes}: they are numbered from 0"
    )
  if args.processes > 1 and not args.coordinator:
    raise UserError(f"--processes={args.processes}: needs --coordinator=HOST:PORT")


if __name__ == "__main__":
  cli.run(main)
