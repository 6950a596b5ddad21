"""Which policy is in service: promoted by hand or rolled back, beside what the rounds decide.

Each decision is a verdict among those of the rounds (`rounds/deployment.py`), so that what is in
service follows from them alone, whoever decided.
"""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from rounds.deployment import Deployment
from serving.errors import conflict, invalid, no_room
from serving.fields import Fields
from serving.policies import BASE, CURRENT, Policies
from serving.state import is_full
from training.errors import UserError

_BACK = "rolled back to"  # begins the reason of such a verdict


class Promotion:
  """Changes and shows what is in service."""

  def __init__(self, deployment: Deployment, policies: Policies):
    self._deployment, self._policies = deployment, policies
    self._lock = threading.Lock()

  def shown(self) -> dict[str, Any]:
    """The policy in service, and every verdict that led there, the oldest first."""
    folders = self._policies.folders()
    names = {path: name for name, path in folders.items() if name != CURRENT}
    rounds = [
      {"number": round_.number, "policy": names.get(_policy_of(round_), "")}
      | {name: round_.verdict.get(name) for name in ("deployed", "reason")}
      | {"metrics": round_.evaluation.get("candidate", {})}
      for round_ in self._deployment.finished
    ]
    return {"object": "deployment", "in_service": names[folders[CURRENT]], "rounds": rounds}

  def change(self, body: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the "model" in service; or with "roll_back" the one that was before the current one."""
    fields = Fields(body)
    back, model = fields.flag("roll_back"), fields.get("model")
    if back == (model is not None):
      raise invalid("", "Give one of 'model' (a name) and 'roll_back' (true).")
    name = "" if back else fields.text("model")
    fields.done()
    with self._lock:
      lock = self._held()
      try:
        self._put(self._before() if back else name, _BACK if back else "promoted:")
      finally:
        os.close(lock)
    return self.shown()

  def _put(self, name: str, word: str) -> None:
    """Writes the verdict, unless this policy is in service already."""
    folders = self._policies.folders()
    if name not in folders:
      raise invalid("model", f"The model {name!r} does not exist.", "model_not_found")
    if folders[name] == folders[CURRENT]:
      return
    self._check(folders[name])
    deployment = self._deployment
    round_ = deployment.round(len(deployment.finished) + 1)
    if os.path.isdir(round_.path) and any(
      not name.endswith(".tmp")
      for name in os.listdir(round_.path)  # of a promotion that was killed
    ):
      raise conflict(
        f"Round {round_.number} was begun: nothing changes before its verdict.", "round_under_way"
      )
    verdict = {"deployed": True, "reason": f"{word} {name}", "run": folders[name]}
    try:
      round_.write("verdict.json", verdict | {"time": time.time()})
      deployment.write_metrics()
    except OSError as error:
      if is_full(error):
        raise no_room("nothing was put in service") from None
      raise

  def _before(self) -> str:
    """The name of the policy that was in service before the current one."""
    stack = [BASE]
    for round_ in self._deployment.finished:
      if not round_.verdict["deployed"]:
        continue
      name = self._policies.name_of(_policy_of(round_))
      if round_.verdict["reason"].startswith(_BACK) and name in stack:
        stack = stack[: stack.index(name)]
      stack.append(name)
    if len(stack) < 2:
      raise conflict("The first policy is in service: there is none before it.", "nothing_before")
    return stack[-2]

  def _check(self, folder: str) -> None:
    """Refuses a policy that is none, or of another model than the deployment's."""
    try:
      self._policies.params(folder)
    except UserError as error:
      raise invalid("model", str(error), "model_not_servable") from None

  def _held(self) -> int:
    try:
      return self._deployment.hold()
    except UserError:
      raise conflict("A round is under way: wait for its verdict.", "round_under_way") from None


def _policy_of(round_: Any) -> str:
  return round_.verdict.get("run", round_.path)
