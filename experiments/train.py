"""Trains one policy from a config file.

python -m experiments.train --config=configs/grpo.py:k=8 --config.optimizer.learning_rate=1e-4

Writes runs/<run>/: metrics.jsonl, completions.jsonl, checkpoints and W&B's files. Typed again, it
goes on from the last checkpoint, or says that the run is finished. Exit code: 0 finished, 2 bad
usage or config, 3 diverged, 130 interrupted.

On several machines start it once on each, with the same arguments and --distributed (TPU pods,
SLURM, Open MPI, Kubernetes: jax finds the others), or with the address of the first and numbers:
--coordinator=HOST:PORT --processes=2 --process=0
"""

import math
import os
import shlex
import signal
from collections.abc import Sequence
from typing import Any

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.command_line import cli
from training import environment, run_folder
from training.checking import config_files, digests, pretrained_model, text_tasks, validate
from training.errors import UserError
from training.run_folder import RunFolder

FLAGS = {
  "out": ("", "the run's folder (default: runs/<name made of the config and its overrides>)"),
  "sweep": ("", "the sweep that the run is of: its group in W&B"),
  "overwrite": (False, "delete the run that is there and start again"),
  "dry_run": (False, "print the resolved config, the memory and the folder; train nothing"),
  "distributed": (False, "one of several processes that train together; jax finds the others"),
  "coordinator": ("", "one of several processes: host:port where the first of them listens"),
  "processes": (1, "with --coordinator: how many there are"),
  "process": (0, "with --coordinator: which this is, from 0"),
}
ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS)
  config = config_files.load(args.config, args.overrides)
  validate.check(config)
  pretrained_model.fill(config)
  about = digests.of_run(config)
  path = args.out or os.path.join(ROOT, run_name(args.config, args.overrides))
  if args.dry_run:
    print(yaml.safe_dump(config.to_dict(), sort_keys=False), end="")
    print(f"# {args.config} -> {path}  (config {about['digest']})")
    print(f"# memory: {memory_needed(config)}")
    return 0

  check_processes(args)
  environment.with_huge_pages("experiments.train")
  command = "python -m experiments.train " + shlex.join(argv)
  about |= {"config_file": args.config, "command": command, "sweep": args.sweep}
  for name, value in environment.compilation_cache(ROOT).items():  # jax reads them at its import
    os.environ.setdefault(name, value)
  if args.distributed or args.coordinator:
    train_with_others(config, path, about, args)
  elif prepare(folder := RunFolder(path), about["digest"], config, args.overwrite):
    folder.create(config.to_dict(), **about)
    with folder.recording_outcome():
      train(config, folder)
  return 0


def train_with_others(config, path: str, about: dict[str, Any], args) -> None:
  """The same in one of several processes, whose first decides and writes."""
  from training import hosts

  hosts.join(args.coordinator, args.processes, args.process)
  hosts.check_same("configs", f"{path} {config.to_json_best_effort()}")
  folder = hosts.run_folder(path)
  if hosts.first_decides(lambda: prepare(folder, about["digest"], config, args.overwrite)):
    folder.create(config.to_dict(), **about)
    with folder.recording_outcome():
      train(config, folder)
    hosts.wait("run finished")  # the first may still be busy with W&B


def memory_needed(config) -> str:
  """What it takes of each device, in a line. UserError when those of this machine are too small."""
  import jax

  from models.partitioning import make_mesh
  from training import memory, setup

  task, sizes = setup.task_of(config), config.mesh.to_dict()
  parts = setup.Parts(config, task, setup.model_of(config, task), make_mesh())
  if math.prod(sizes.values()) <= jax.device_count():  # it may be meant for another machine
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


def prepare(folder: RunFolder, digest: str, config, overwrite: bool) -> bool:
  """Whether there is something to train. UserError where training would lose, or disturb, a run."""
  state = folder.state(digest)
  if overwrite and state != "running":
    refuse_to_delete(folder)
    folder.clear()
    state = "new"
  if state == "finished":
    step = folder.read_status()["step"]
    print(f"{folder.path}: finished already (step {step}); --overwrite to start again")
    return False
  refuse(folder, state, config)
  return True


def run_name(config_file: str, overrides: dict) -> str:
  settings = {key: value for key, value in overrides.items() if not key.startswith("wandb.")}
  return run_folder.run_name(config_file, settings)


def refuse(folder: RunFolder, state: str, config) -> None:
  """UserError where training here would lose, or disturb, what is there."""
  if state == "running":
    raise UserError(f"{folder.path}: another process is training this run")
  if state == "changed":
    raise UserError(
      f"{folder.path} holds a run of {digests.difference(folder.read_config(), config)}.\n"
      "Give this one --out=FOLDER, or --overwrite to delete that one"
    )
  if state == "diverged":
    raise UserError(
      f"{folder.path} diverged: {folder.read_status()['reason']}\n"
      "Change the config, or --overwrite to start again"
    )


def refuse_to_delete(folder: RunFolder) -> None:
  """UserError if what --overwrite would delete is something else than a run."""
  if os.path.isdir(folder.path) and os.listdir(folder.path) and not folder.read_config():
    raise UserError(f"--out={folder.path} is no run's folder (it has no config.json): not deleted")


def train(config, folder: RunFolder) -> None:
  """Trains with a progress bar; jax is imported only now that the config is known to be good."""
  signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a ^C
  from training import run, setup

  if config.source == "offline":
    # Its import replaces the import statement for a while; the progress bar's thread would trip.
    import tensorflow_datasets  # noqa: F401  # pyrefly: ignore

  if folder.read_only:  # the process that writes it also shows how it goes
    run.train(config, folder, ROOT, lambda row: None)
    return
  print(
    f"{folder.name}  {config.algorithm.loss}  K={config.group_size}  seed {config.seed}", end="  "
  )
  print(f"{setup.device_line()} {config.model.dtype}  → {folder.path}")
  for line in text_tasks.describe(config):
    print(f"data: {line}")
  if setup.accelerator_hint():
    print(setup.accelerator_hint())
  columns = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[numbers]}"),
    TimeRemainingColumn(),
  )
  with Progress(*columns) as progress:
    bar = progress.add_task("base policy", total=None, numbers="")

    def report(row: dict) -> None:
      if "warning" in row:
        progress.console.print(f"warning: {row['warning']}")
        return
      doing = row.get("doing", "train")
      progress.update(
        bar, description=doing, completed=row["step"], total=row["steps"], numbers=numbers(row)
      )

    last = run.train(config, folder, ROOT, report)
  print(f"done  {numbers(last)}  {last['rollouts']:,} rollouts")


SHOWN = {
  "accuracy": ("eval/accuracy", "eval/implied_accuracy"),
  "reward": ("eval/reward", "train/reward"),
  "kl": ("eval/kl",),
  "loss": ("train/loss",),
}


def numbers(row: dict) -> str:
  """The numbers that matter, of those that the row has: "reward 0.612  kl 0.880"."""
  found = {
    label: next((row[name] for name in names if name in row), None)
    for label, names in SHOWN.items()
  }
  return "  ".join(f"{label} {value:.3f}" for label, value in found.items() if value is not None)


if __name__ == "__main__":
  cli.run(main)
