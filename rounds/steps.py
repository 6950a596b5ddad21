"""One round: collect, judge, train, evaluate, decide. A step ends with a file, and is not redone.

The round's training is an ordinary offline run on the round's groups. It starts from the policy in
service, which is also its reference: beta holds to that, and its eval/kl is to that. The KL to the
policy before the first round is measured here, with the reward, for the verdict.
"""

import dataclasses
import shutil
from typing import Any

from ml_collections import ConfigDict

from rounds.collecting import collect
from rounds.deployment import Deployment, Round
from rounds.paired_test import not_worse
from rounds.staleness import log_ratios, staleness
from training import base_policy, dataset, run
from training.base_policy import Report
from training.checking import digests
from training.errors import Diverged
from training.evaluation import measure, summary
from training.run_folder import flatten
from training.scoring import Scorer
from training.setup import Parts


def go_through(deployment: Deployment, round_: Round, root: str, report: Report) -> dict[str, Any]:
  """Does what is left of the round; returns its verdict. Waiting: people gave too few rows."""
  config = round_config(deployment, round_)
  if not round_.dataset:
    shutil.rmtree(round_.data_folder, ignore_errors=True)  # written in part
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
  """The deployment's config as that of an offline run from the policy in service."""
  config = ConfigDict(deployment.config)
  config.source = "offline"
  config.base.run = deployment.in_service
  return config.lock()


def train(
  config: ConfigDict, deployment: Deployment, round_: Round, root: str, report: Report
) -> str:
  """The round's run, finished; what went wrong if it diverged, else ""."""
  folder, about = round_.run, digests.of_run(config)
  state = folder.state(about["digest"])
  if state == "finished":
    return ""
  if state != "diverged":
    about |= {"config_file": deployment.run.read_config()["config_file"], "variant": "rounds"}
    folder.create(config.to_dict(), sweep=deployment.run.name, **about)
    try:
      with folder.recording_outcome():
        run.train(config, folder, root, report)
    except Diverged:
      pass
  status = folder.read_status()
  return "" if status["state"] == "finished" else f"diverged: {status['reason']}"


def evaluate(
  config: ConfigDict, deployment: Deployment, round_: Round, root: str, report: Report
) -> None:
  """Both policies on the same held-out prompts with the same random numbers, new in every round."""
  report({"doing": "evaluating", "step": 0, "steps": 1})
  first = ConfigDict(deployment.config)
  first.model.lora_rank = 0  # adapters are merged
  plain = Parts.of(first)
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
  ratios = log_ratios(trained, candidate, dataset.load(trained, round_.dataset, Scorer(trained)))
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
  """The verdict, in words and numbers."""
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
