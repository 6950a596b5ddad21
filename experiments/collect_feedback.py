"""Serves a page where people say which of two responses of a policy is better.

python -m experiments.collect_feedback --deployment=runs/mine   the policy in service there
python -m experiments.collect_feedback --run=runs/dpo-s0        a finished run's policy
python -m experiments.collect_feedback --model=smollm2-135m     a pretrained model

The page is on http://127.0.0.1:8600 and nowhere else, unless --host says so, with --token. A choice
is a row of choices.jsonl, on the disk before the page says that it is kept. A deployment with
rounds.judge="people" (python -m experiments.rounds) trains on the choices in its own feedback/
folder; a round that is deployed meanwhile is served from the next question on.
"""

import importlib.util
import os
from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import common
from experiments.command_line import cli
from rounds import listening
from rounds.deployment import Deployment
from training.checking import config_files, pretrained_model
from training.errors import UserError
from training.records import environment
from training.records.run_folder import RunFolder
from training.records.run_names import file_name

FLAGS = {
  "deployment": ("", "a deployment's folder: what is in service there is served"),
  "run": ("", "a finished run's folder: its last policy is served"),
  "model": ("", "a pretrained model: a folder, a .gguf file, or a name"),
  "out": (
    "",
    "where choices are kept (default: feedback/ in that folder; for a model below runs/)",
  ),
  "max_tokens": (128, "longest response of a --model, in tokens; a run's config has its own"),
  **listening.FLAGS,
}
ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS, configs=None)
  if sum(map(bool, (args.deployment, args.run, args.model))) != 1:
    raise UserError("give one of --deployment=FOLDER, --run=FOLDER and --model=NAME")
  token = listening.token_of(args)
  if not importlib.util.find_spec("fastapi") or not importlib.util.find_spec("uvicorn"):
    raise UserError("the page needs FastAPI and uvicorn: pip install -e '.[feedback]'")
  config, run, home = served(args)
  listening.check_free(args)
  for name, value in environment.compilation_cache(ROOT).items():
    os.environ.setdefault(name, value)

  from rounds.feedback_server import app
  from rounds.feedback_store import FeedbackStore
  from rounds.served_policy import ServedPolicy

  store = FeedbackStore(home)
  if args.deployment:
    policy = ServedPolicy(config, ROOT, lambda: Deployment(args.deployment).in_service)
  else:
    policy = ServedPolicy(config, ROOT, lambda: run)
  policy.warm_up()
  server = app(store, policy, listening.names(args.host, token), token)
  listening.serve(server, args, f"choices → {home} ({store.count} there)")
  return 0


def served(args) -> tuple[ConfigDict, str, str]:
  """Returns (config, run to serve or "", folder of the choices). UserError: nothing to serve."""
  if args.deployment:
    home = Deployment(args.deployment)
    return config_files.of_record(home.config), "", args.out or home.feedback
  if args.run:
    folder = RunFolder(args.run)
    about = folder.read_config()
    if not about:
      raise UserError(f"--run={args.run!r} is no run's folder (it would hold config.json)")
    if folder.read_status().get("state") != "finished":
      raise UserError(f"--run={args.run!r} is not finished: train it to its end first")
    config = config_files.of_record(about["config"])
    return config, args.run, args.out or os.path.join(args.run, "feedback")
  config = common.of_algorithm("dpo")
  common.use_task(config, "sentiment")
  config.model.pretrained = args.model
  config.sampling.max_tokens = args.max_tokens
  pretrained_model.fill(config)
  name = file_name(os.path.basename(os.path.normpath(args.model)))
  return config, "", args.out or os.path.join(ROOT, "feedback", name)


if __name__ == "__main__":
  cli.run(main)
