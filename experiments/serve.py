"""Serves a deployment over OpenAI's API: chat, feedback, files, fine-tuning jobs, promotions.

python -m experiments.serve --deployment=runs/mine                     the policy in service there
python -m experiments.serve --deployment=runs/mine --config=configs/rounds.py   begins one
python -m experiments.serve --deployment=runs/mine --run=runs/dpo-s0   begins one with that policy
python -m experiments.serve --deployment=runs/mine --model=smollm2-135m

Clients of OpenAI's API take http://127.0.0.1:8600/v1; on http://127.0.0.1:8600 a page shows two
answers to choose from, jobs and rounds. All that it keeps is in the deployment's folder; killed at
any moment, the same command goes on. --every=1h begins a round each hour: collect, train, test,
deploy if not worse. docs/service.md has the addresses.
"""

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from experiments.command_line import cli
from rounds.deployment import Deployment
from serving import schedule
from serving.access import listening
from training.checking import config_files, digests, pretrained_model, validate
from training.errors import UserError
from training.records import compiled_programs, hold
from training.records.run_folder import RunFolder

FLAGS = {
  "deployment": ("", "the deployment's folder: what is in service there is served, and its state"),
  "run": ("", "a finished run's folder: begins the deployment with its policy"),
  "model": ("", "a pretrained model: begins the deployment with it"),
  "max_tokens": (128, "longest response of a --model, in tokens; a run's config has its own"),
  "every": ("", "begins a round every 30m, 1h, 1d; empty: none"),
  **listening.FLAGS,
}
ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS, configs="configs", needs_config=False)
  if not args.deployment:
    raise UserError("give --deployment=FOLDER")
  token = listening.token_of(args)
  if args.every:
    schedule.seconds_of(args.every)
  if not all(map(importlib.util.find_spec, ("starlette", "uvicorn", "python_multipart"))):
    raise UserError("it needs Starlette and uvicorn: pip install -e '.[serve]'")
  deployment = Deployment(args.deployment)
  begin(deployment, args, "python -m experiments.serve " + shlex.join(_without_token(argv)))
  lock = os.path.join(args.deployment, ".service.lock")
  hold.lock(lock, f"{args.deployment}: another process serves it")
  listening.check_free(args)
  compiled_programs.keep_below(ROOT)

  from serving.api import app
  from serving.service import Service

  print(f"{args.deployment}: loads its policy, or trains it the first time …", file=sys.stderr)
  service = Service(deployment, ROOT)
  service.start(args.every)
  server = app(service, listening.names(args.host, token), token)
  listening.serve(server, args, f"serves {args.deployment} ({service.feedback.count} rows there)")
  return 0


def begin(deployment: Deployment, args, command: str) -> None:
  """Makes the deployment's folder, if it is not there. UserError: nothing to serve, or another."""
  beginnings = [bool(args.config), bool(args.run), bool(args.model)]
  if sum(beginnings) > 1 or (args.overrides and not args.config):
    raise UserError("give one of --config=FILE, --run=FOLDER and --model=NAME to begin with")
  about = deployment.run.read_config()
  if not any(beginnings):
    if not about:
      raise UserError(
        f"{deployment.path!r} is no deployment yet: begin it with --config=configs/rounds.py, "
        "--run=FOLDER or --model=NAME"
      )
    deployment.config  # noqa: B018  (is it one?)
    return
  config = _config_of(args)
  validate.check(config, recurring=True)
  pretrained_model.fill(config)
  of_run = digests.of_run(config)
  if about and about["digest"] != of_run["digest"]:
    raise UserError(
      f"{deployment.path} holds a run of {digests.difference(about, config)}.\n"
      "Leave --config, --run and --model out to serve it, or give another --deployment=FOLDER"
    )
  if not about and os.path.isdir(deployment.path) and os.listdir(deployment.path):
    raise UserError(f"{deployment.path} is not empty, and no deployment: give another --deployment")
  if not about:
    names = {"config_file": args.config or "configs/rounds.py", "command": command}
    deployment.run.create(config.to_dict(), **of_run, **names)


def _config_of(args) -> ConfigDict:
  """The config of a deployment that is to begin, with people as its judges."""
  if args.config:
    config = config_files.load(args.config, {"rounds.judge": "people"} | args.overrides)
    if config.source != "rounds":
      raise UserError(f"--config={args.config} is of no rounds: --config=configs/rounds.py is one")
    return config
  if args.run:
    return _of_run(args.run)
  config = common.of_algorithm("rounds")
  common.use_task(config, "sentiment")
  config.source, config.model.pretrained = "rounds", args.model
  config.sampling.max_tokens, config.rounds.judge = args.max_tokens, "people"
  return config_files.complete(config)


def _of_run(path: str) -> ConfigDict:
  """The config of rounds that begin with the policy of this run."""
  folder = RunFolder(path)
  about = folder.read_config()
  if not about:
    raise UserError(f"--run={path!r} is no run's folder (it would hold config.json)")
  if folder.read_status().get("state") != "finished":
    raise UserError(f"--run={path!r} is not finished: train it to its end first")
  its, config = config_files.of_record(about["config"]), common.of_algorithm("rounds")
  for section in ("task", "model", "sampling", "scoring", "data", "wandb"):
    config[section].update(its[section])
  config.batch_prompts, config.base.batch_prompts = its.batch_prompts, its.base.batch_prompts
  config.model.lora_rank = 0  # its adapters are merged
  config.base.run, config.rounds.judge = path, "people"
  return config_files.complete(config)


def _without_token(argv: Sequence[str]) -> list[str]:
  kept, words = [], iter(argv)
  for word in words:
    if word == "--token":
      next(words, None)
    elif not word.startswith("--token="):
      kept.append(word)
  return kept


if __name__ == "__main__":
  cli.run(main)
