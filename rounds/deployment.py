"""A deployment's folder: a policy in service and the rounds that renew it. No jax here.

  config.json, command.txt, status.json   as of a run (`training/records/run_folder.py`)
  metrics.jsonl     a row a round: the policy in service after it, by the metrics of any run
  feedback/         rows that people wrote, *.jsonl (rounds.judge="people")
  rounds/001/       one round, which never changes once it has its verdict:
    data/             the groups, with log-probs under the policy that wrote them, and recipe.json
    config.json, metrics.jsonl, checkpoints/, ...   an ordinary run: offline, on these groups
    evaluation.json   its policy against the one in service, on held-out prompts; staleness
    verdict.json      deployed or refused, and why

A round may also be a verdict alone, with the "run" that it put in service: a promotion by hand, or
a roll back (`serving/promotion.py`).

The policy in service follows from the verdicts: it is the last one deployed. A step is done when
its last file exists, and files appear whole, so a killed process can continue where it was.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from configs.config_values import flatten
from tasks import group_dataset
from training.errors import UserError
from training.records import hold
from training.records.files import read_json, write_json
from training.records.run_folder import RunFolder

RECIPE = "recipe.json"  # beside a data set: `training/offline_data.py`


class Waiting(Exception):
  """There are too few rows from people for a round yet; the message has their number and folder."""


@dataclasses.dataclass(frozen=True)
class Round:
  """One round's folder. `number` counts from 1."""

  path: str
  number: int

  @property
  def run(self) -> RunFolder:
    """The folder of its training run."""
    return RunFolder(self.path)

  @property
  def data_folder(self) -> str:
    return os.path.join(self.path, "data")

  @property
  def dataset(self) -> str:
    """The path of its groups; "" until all of them are written and judged."""
    path = group_dataset.path_in(self.data_folder)
    return path if path and os.path.exists(os.path.join(path, RECIPE)) else ""

  @property
  def recipe(self) -> dict[str, Any]:
    """The record of how its groups were made."""
    return read_json(os.path.join(self.dataset, RECIPE)) if self.dataset else {}

  @property
  def evaluation(self) -> dict[str, Any]:
    needs = {"deployed": dict, "candidate": dict, "staleness": dict}
    return read_json(os.path.join(self.path, "evaluation.json"), needs)

  @property
  def verdict(self) -> dict[str, Any]:
    """{"deployed": bool, "reason": text, ...}; {} while the round goes on."""
    return read_json(os.path.join(self.path, "verdict.json"), {"deployed": bool, "reason": str})

  def write(self, name: str, value: Mapping[str, Any]) -> None:
    """Writes evaluation.json or verdict.json, whole or not at all."""
    write_json(os.path.join(self.path, name), value)


@dataclasses.dataclass(frozen=True)
class Deployment:
  """The deployment in the folder `path`."""

  path: str

  @property
  def run(self) -> RunFolder:
    """The deployment seen as one long run: what reports and comparisons read."""
    return RunFolder(self.path)

  @property
  def feedback(self) -> str:
    return os.path.join(self.path, "feedback")

  def round(self, number: int) -> Round:
    return Round(os.path.join(self.path, "rounds", f"{number:03}"), number)

  @property
  def finished(self) -> list[Round]:
    """The rounds with a verdict, in order."""
    found = []
    while (round_ := self.round(len(found) + 1)).verdict:
      found.append(round_)
    return found

  @property
  def in_service(self) -> str:
    """The run whose policy is served; "": the base policy."""
    deployed = [round_ for round_ in self.finished if round_.verdict["deployed"]]
    return deployed[-1].verdict.get("run", deployed[-1].path) if deployed else self.base_run

  @property
  def base_run(self) -> str:
    """The run whose policy was served before the first round; "": the base policy."""
    return self.config["base"]["run"]

  @property
  def taken(self) -> dict[str, int]:
    """How many rows of each file of feedback the finished rounds took."""
    recipes = (round_.recipe for round_ in reversed(self.finished))
    return next((recipe["taken"] for recipe in recipes if "taken" in recipe), {})

  @property
  def config(self) -> dict[str, Any]:
    """The config that all rounds train with. UserError when this is no deployment."""
    config = self.run.read_config().get("config", {})
    if config.get("source") != "rounds":
      raise UserError(
        f"{self.path!r} is no deployment; start one with "
        "python -m experiments.rounds --config=configs/rounds.py"
      )
    return config

  def hold(self) -> int:
    """Locks the folder for this process until it ends. UserError if another process has it."""
    return hold.lock(
      os.path.join(self.path, ".lock"), f"{self.path}: another process is at work on its rounds"
    )

  def write_metrics(self) -> None:
    """Writes metrics.jsonl anew from the rounds, so that it always agrees with them."""
    rows = rows_of(self.finished)
    self.run.replace_metrics(rows)
    if rows:
      last = rows[-1]["step"]
      self.run.write_status("running", step=last, steps=last, metrics=rows[-1])


def rows_of(rounds: list[Round]) -> list[dict[str, Any]]:
  """Returns a row of metrics a round, of the policy in service after it; step 0 precedes the first.

  step, rollouts, tokens, seconds   so far, with those of refused rounds
  eval/*                            of the policy in service; eval/kl is to the very first policy
  round/number, round/deployed      which, and whether it was deployed (1) or refused (0)
  round/reward_sampled, /kl         of the round's own policy, deployed or not
  round/kl_to_deployed              its KL to the policy in service when the round began
  round/ratio_mean, _max, /effective_share   staleness, see `staleness.py`
  """
  rows: list[dict[str, Any]] = []
  totals = {"step": 0, "rollouts": 0, "tokens": 0, "seconds": 0.0}
  for round_ in rounds:
    evaluation, verdict = round_.evaluation, round_.verdict
    if not rows and evaluation:
      rows.append(totals | {"round/number": 0} | evaluation["deployed"])
    trained = round_.run.read_status()
    cost = {"step": trained.get("step", 0), "rollouts": round_.recipe.get("rollouts", 0)}
    cost |= {name: trained.get("metrics", {}).get(name, 0) for name in ("tokens", "seconds")}
    totals = {name: totals[name] + cost[name] for name in totals}
    row = totals | {"round/number": round_.number, "round/deployed": int(verdict["deployed"])}
    if evaluation:  # a round that diverged has none
      own = evaluation["candidate"]
      row |= evaluation["candidate" if verdict["deployed"] else "deployed"]
      row |= {f"round/{name}": own.get(f"eval/{name}") for name in ("reward_sampled", "kl")}
      row["round/kl_to_deployed"] = trained.get("metrics", {}).get("eval/kl")
      row |= flatten(evaluation["staleness"], "round/")
    rows.append(row)
  return rows
