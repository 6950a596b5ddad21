"""Recurring training: collect groups from the policy in service, have them judged, train, deploy.

python -m experiments.rounds --config=configs/rounds.py                one round more
python -m experiments.rounds --config=configs/rounds.py --rounds=8     until there are eight

Keeps a deployment in runs/<name>/: its policy in service, and rounds/001/, rounds/002/, ... with
the data set, the training, the evaluation and the verdict of each. A round is deployed unless it
tests as worse than the policy in service on the held-out prompts. After a stop or a kill the same
command goes on where it was; cron may call it, once a round. With rounds.judge="people" a round
waits for rows in feedback/ (python -m experiments.serve writes them, from its page). Exit code: 0
done, 2 bad usage or config, 130 interrupted.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from comparing.safe_text import safe_text
from experiments import report
from experiments.command_line import cli, endings
from rounds.deployment import Deployment, Round, Waiting
from tasks.visible_text import visible
from training.checking import config_files, digests, pretrained_model, validate
from training.errors import UserError
from training.records import compiled_programs, environment, run_names
from training.records.earlier import set_damaged_aside
from training.records.run_folder import Report

FLAGS = {
  "rounds": (0, "go on until the deployment has so many rounds (default: one more)"),
  "out": ("", "the deployment's folder (default: runs/<name made of the config and overrides>)"),
  "from_earlier": (False, "if the last checkpoint is damaged, go on from the one before it"),
  "dry_run": (False, "print the resolved config and the folder; do nothing"),
}
ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS)
  if args.rounds < 0:
    raise UserError(f"--rounds={args.rounds}: at least 1")
  config = config_files.load(args.config, args.overrides)
  validate.check(config, recurring=True)
  pretrained_model.fill(config)
  about = digests.of_run(config)
  settings = {key: v for key, v in args.overrides.items() if not key.startswith("wandb.")}
  path = args.out or os.path.join(ROOT, run_names.run_name(args.config, settings))
  if args.dry_run:
    print(yaml.safe_dump(config.to_dict(), sort_keys=False), end="")
    print(f"# {args.config} -> {path}  (config {about['digest']})")
    return 0

  deployment = Deployment(path)
  refuse_another(deployment, about["digest"], config)
  environment.with_huge_pages("experiments.rounds")
  lock = deployment.hold()
  command = "python -m experiments.rounds " + shlex.join(argv)
  if not deployment.run.read_config():
    about |= {"config_file": args.config, "command": command}
    deployment.run.create(config.to_dict(), **about)
  deployment.write_metrics()  # a round may have been stopped after its verdict
  done = len(deployment.finished)
  last = args.rounds or done + 1
  if done >= last:
    print(f"{path}: has {done} rounds already; --rounds={done + 1} for one more")
  with deployment.run.recording_outcome():
    for number in range(1, max(done, last) + 1):
      if args.from_earlier:
        for line in set_damaged_aside(deployment.round(number).run):
          print(f"warning: {visible(line)}")
      train_to_the_end(deployment.round(number))
    deployment.write_metrics()
    for number in range(done + 1, last + 1):
      try:
        do_round(deployment, number)
      except Waiting as waiting:
        print(f"round {number}  {waiting}")
        break
  if deployment.finished:
    print(f"report: {report.write(path)}")
  os.close(lock)
  return 0


def refuse_another(deployment: Deployment, digest: str, config) -> None:
  """Raises UserError if the folder holds another config's run, or other files."""
  about = deployment.run.read_config()
  if about and about["digest"] != digest:
    serving = deployment.in_service if about["config"].get("source") == "rounds" else ""
    raise UserError(
      f"{deployment.path} holds a run of {digests.difference(about, config)}.\n"
      "Give this one --out=FOLDER"
      + (
        f"; --config.base.run={serving} goes on from the policy in service there" if serving else ""
      )
    )
  if not about and (deployment.run.read_status() or deployment.round(1).run.read_config()):
    raise UserError(
      f"{deployment.path}/config.json is gone, so that nobody can tell which deployment the rounds "
      f"are of: restore it, or start again after rm -r {shlex.quote(deployment.path)}"
    )
  if not about and os.path.isdir(deployment.path) and os.listdir(deployment.path):
    raise UserError(f"{deployment.path} is not empty, and no deployment. Give --out=FOLDER")


def train_to_the_end(round_: Round) -> None:
  """Trains a round that has its verdict once more, if its last checkpoint, or status, is gone.

  A promotion has no run of its own.
  """
  is_ended = round_.run.read_status().get("state") in ("finished", "diverged")
  if round_.verdict and round_.run.checkpoint_steps and not is_ended:
    with training(round_.number) as (one_round, show):
      one_round.train_again(round_.run, ROOT, show)


def do_round(deployment: Deployment, number: int) -> None:
  with training(number) as (one_round, show):
    verdict = one_round.go_through(deployment, deployment.round(number), ROOT, show)
  deployment.write_metrics()
  word = "deployed" if verdict["deployed"] else "refused "
  print(f"round {number}  {word}  {visible(verdict['reason'])}", flush=True)


@contextlib.contextmanager
def training(number: int) -> Iterator[tuple[ModuleType, Report]]:
  """The module of a round's steps (its import takes jax), and what shows them as a progress bar."""
  endings.as_by_hand()
  compiled_programs.keep_below(ROOT)
  import tensorflow_datasets  # noqa: F401  # as in train.py, before there is a second thread

  from rounds import one_round

  columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
  with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as progress:
    bar = progress.add_task(f"round {number}", total=None)

    def show(row: dict) -> None:
      if "warning" in row:
        progress.console.print(safe_text(f"warning: {row['warning']}"))
        return
      doing = f"round {number}: {row.get('doing', 'training')}"
      progress.update(bar, description=doing, completed=row["step"], total=row["steps"])

    yield one_round, show


if __name__ == "__main__":
  cli.run(main)
