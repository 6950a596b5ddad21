"""Sends runs to W&B again, from their folders: after a crash, or where W&B could not be reached.

python -m experiments.upload runs/quick                    all runs of a sweep
python -m experiments.upload runs/mine --mode=offline      writes files for `wandb sync`

A W&B run that was killed offline has lost its last rows, and one that was resumed offline has some
twice. metrics.jsonl has every row once. Each run becomes a new run in W&B, its id ending in
-replay; sent twice, it replaces itself. Exit code: 0 all sent, 1 some failed, 2 bad usage.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict

from comparing.runs import read_run_set
from experiments.command_line import cli
from training.checking import loss_signatures
from training.errors import UserError
from training.records.run_folder import RunFolder

MODES = ("auto", "online", "offline")


def main(argv: Sequence[str]) -> int:
  parser = cli.positional("upload", __doc__)
  parser.add_argument("folders", nargs="+", help="a sweep's or a run's folder, e.g. runs/quick")
  parser.add_argument("--mode", choices=MODES, default="auto", help="auto: online if logged in")
  arguments = parser.parse_args(argv)
  try:
    runs = [run for folder in arguments.folders for run in runs_in(folder)]
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  failed = 0
  for run in runs:
    try:
      print(f"{run.path}: {replay(run, arguments.mode)}", flush=True)
    except Exception as error:  # W&B's, whatever it is: the next run may do better
      failed += 1
      reason = " ".join(str(error).split())
      print(f"{run.path}: not sent ({type(error).__name__}: {reason})", file=sys.stderr)
  return 1 if failed else 0


def runs_in(folder: str) -> list[RunFolder]:
  """Returns the runs in a folder that have rows. UserError if there are none."""
  found = [run.folder for run in read_run_set(folder).runs if run.config and run.rows]
  if not found:
    raise UserError(f"{folder}: none of its runs has a row in metrics.jsonl yet")
  return found


def replay(folder: RunFolder, mode: str) -> str:
  """Sends all rows and completions; returns a line about it. Raises what W&B raises."""
  from training.records import wandb_runs

  rows, status = folder.read_metrics(), folder.read_status()
  words = loss_signatures.words_of(ConfigDict(folder.read_config()["config"]))
  run = wandb_runs.start(folder, mode, words, replay=True)
  if run is None:
    raise UserError("W&B is disabled here (WANDB_MODE); give --mode=online or offline")
  latest: dict[str, float] = {}
  tables = dict(completions_by_step(folder))
  with contextlib.redirect_stdout(sys.stderr):  # W&B's own lines
    for row in rows:
      latest |= {key: value for key, value in row.items() if value is not None}
      wandb_runs.log(run, row)
      if table := tables.get(row["step"]):
        wandb_runs.log_completions(run, table)
    wandb_runs.finish(run, latest, 0 if status.get("state") == "finished" else 1)
  sent = f"{len(rows)} rows, {sum(map(len, tables.values()))} completions"
  if run.offline:
    return f"{sent}; wandb sync {os.path.relpath(os.path.dirname(run.dir))}"
  return f"{sent} in {run.url}"


def completions_by_step(folder: RunFolder) -> Iterator[tuple[int, list[dict]]]:
  rows = folder.read_completions()
  for step, group in itertools.groupby(rows, key=lambda row: row["step"]):
    yield step, list(group)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
