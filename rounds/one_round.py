"""One round: collect, judge, train, evaluate, decide. A step that left its file is not repeated.

The round's training is an ordinary offline run on the round's groups. It starts from the policy in
service, which is also its reference: its KL penalty and its eval/kl are to that. The KL to the
policy before the first round is measured here, together with the reward.
"""

import contextlib
import dataclasses
import shutil
from typing import Any

from ml_collections import ConfigDict

from configs.config_values import flatten
from rounds.collecting import collect
from rounds.deployment import Deployment, Round
from rounds.not_worse import not_worse
from rounds.staleness import log_ratios, staleness
from training import assembly, base_policy, offline_data
from training.build import parts_of
from training.checking import config_files, digests
from training.errors import Diverged
from training.evaluation import measure, summary
from training.records.hold import held
from training.records.run_folder import Report, RunFolder
from training.scoring import Scorer


def go_through(deployment: Deployment, round_: Round, root: str, report: Report) -> dict[str, Any]:
  """Does the remaining steps; returns the verdict. Raises Waiting if people gave too few rows."""
  config = round_config(deployment, round_)
  if not round_.dataset:
    shutil.rmtree(round_.data_folder, ignore_errors=True)  # one that was left unfinished
    collect(config, deployment, round_, root, report)
  with config.unlocked():
    config.offline.dataset = round_.dataset
  reason = train(config, deployment, round_, root, report)
  if not reason and not round_.evaluation:
    evaluate(config, deployment, round_, root, report)
  verdict = decide(round_, config.rounds.level, reason)
  round_.write("verdict.json", verdict)
  return verdict


def round_config(deployment: Deployment, round_: Round) -> ConfigDict:
  """Returns the deployment's config, made one of an offline run from the policy in service."""
  config = config_files.of_record(deployment.config)
  config.source = "offline"
  config.base.run = deployment.in_service
  return config.lock()


def train(
  config: ConfigDict, deployment: Deployment, round_: Round, root: str, report: Report
) -> str:
  """Finishes the round's run; returns the reason if it diverged, else ""."""
  folder, about = round_.run, digests.of_run(config)
  with held(folder):
    state = folder.state(about["digest"])
    if state == "finished":
      return ""
    if state != "diverged":
      deployment.run.check_there()
      about |= {"config_file": deployment.run.read_config()["config_file"], "variant": "rounds"}
      folder.create(config.to_dict(), sweep=deployment.run.name, **about)
      try:
        with folder.recording_outcome():
          assembly.train(config, folder, root, report)
      except Diverged:
        pass
  status = folder.read_status()
  return "" if status["state"] == "finished" else f"diverged: {status['reason']}"


def train_again(folder: RunFolder, root: str, report: Report) -> None:
  """Trains a finished run to its end once more, from the checkpoint that it has: the same bits."""
  config = config_files.of_record(folder.read_config()["config"])
  with contextlib.suppress(Diverged), held(folder), folder.recording_outcome():
    assembly.train(config, folder, root, report)


def evaluate(
  config: ConfigDict, deployment: Deployment, round_: Round, root: str, report: Report
) -> None:
  """Writes evaluation.json: both policies on the same held-out prompts.

  Both sample with the same random numbers, new ones in every round.
  """
  report({"doing": "evaluating", "step": 0, "steps": 1})
  first = config_files.of_record(deployment.config)
  first.model.lora_rank = 0  # adapters are merged
  plain = parts_of(first)
  origin = base_policy.starting_params(first, plain, root, report)
  samples, step = config.eval.samples, round_.number
  candidate = base_policy.policy_of_run(round_.path, plain, root, report)
  new = measure(plain, candidate, origin, step, samples)
  in_service = origin
  if config.base.run != first.base.run:
    in_service = base_policy.policy_of_run(config.base.run, plain, root, report)
  old = measure(plain, in_service, origin, step, samples)
  test = not_worse(new.rewards, old.rewards, config.rounds.level)
  trained = dataclasses.replace(plain, config=config)
  source = offline_data.load(trained, round_.dataset, Scorer(trained))
  ratios = log_ratios(trained, candidate, source)
  round_.write(
    "evaluation.json",
    {
      "candidate": summary(new),
      "deployed": summary(old),
      "test": dataclasses.asdict(test),
      "staleness": staleness(ratios),
    },
  )


def decide(round_: Round, level: float, failure: str) -> dict[str, Any]:
  """Returns the verdict, in words and numbers."""
  if failure:
    return {"deployed": False, "reason": failure}
  test = round_.evaluation["test"]
  if test["prompts"] < 2:
    return {"deployed": False, "reason": "no held-out prompt could be scored"}
  difference = f"{test['difference']:+.4f} ± {test['standard_error']:.4f} (s.e.)"
  word = "not worse" if test["passed"] else "worse"
  reason = (
    f"{word} on {test['prompts']} held-out prompts: sampled reward {difference}, "
    f"p = {test['p_worse']:.3f} of the one-sided paired t test, level {level}"
  )
  return {"deployed": test["passed"], "reason": reason} | flatten(test)
