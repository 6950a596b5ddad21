"""The names of a deployment's policies, the runs that they are, and those that are loaded.

current        the policy in service
base           the policy before the first round
round-003      that of a round that was deployed
ft-dpo-1a2b3c  that of a finished fine-tuning job
"""

import collections
import os
import threading
import time
from collections.abc import Callable, Mapping

from models.transformer import Params
from rounds.deployment import Deployment
from serving import answering
from serving.errors import invalid
from training import base_policy
from training.checking import config_files

CURRENT, BASE = "current", "base"
LOADED = 3  # policies that are kept in memory, the latest used
FRESH = 1.0  # seconds for which the names are not looked up again


class Policies:
  """The policies of a deployment. `of_jobs()` gives those of its jobs: name -> its run's folder."""

  def __init__(self, deployment: Deployment, root: str, of_jobs: Callable[[], Mapping[str, str]]):
    self._deployment, self._root, self._of_jobs = deployment, root, of_jobs
    self.config = config_files.of_record(deployment.config)
    self.parts = answering.parts_of(self.config)
    self.context = answering.context_of(self.config)  # tokens of a conversation and its answer
    self._loaded: collections.OrderedDict[str, Params] = collections.OrderedDict()
    self._lock = threading.Lock()
    self._names: tuple[float, dict[str, str]] = (-FRESH, {})

  def folders(self, *, now: bool = True) -> dict[str, str]:
    """Every name -> its run's folder; "" is the base policy, which may lie below runs/base/.

    Unless it must be as of `now`, it may be FRESH seconds old: each round is a file to read.
    """
    if now or time.monotonic() - self._names[0] > FRESH:
      self._names = (time.monotonic(), self._looked_up())
    return self._names[1]

  def _looked_up(self) -> dict[str, str]:
    names = {BASE: self._deployment.base_run}
    for round_ in self._deployment.finished:
      if round_.verdict["deployed"] and "run" not in round_.verdict:
        names[f"round-{round_.number:03}"] = round_.path
    names |= self._of_jobs()
    return names | {CURRENT: self._deployment.in_service}

  def folder_of(self, name: str) -> str | None:
    """The folder of the policy of this name, or of a checkpoint's, "NAME:step-8"; None: no such."""
    name, colon, step = name.partition(":step-")
    folder = self.folders(now=name not in self._names[1]).get(name)
    if folder is None or not colon:
      return folder
    checkpoint = os.path.join(folder, "checkpoints", step)
    return checkpoint if folder and step.isdigit() and os.path.isdir(checkpoint) else None

  def run_of(self, folder: str) -> str:
    """The run's folder of a policy, for a run that starts from it: its last policy."""
    if os.path.basename(os.path.dirname(folder)) == "checkpoints":
      raise invalid("model", "A job starts from a whole run, not from a checkpoint.")
    return folder or os.path.relpath(base_policy.folder_of(self.config, self._root).path)

  def name_of(self, folder: str) -> str:
    """The name, other than `current`, of the policy in this folder."""
    return next((name for name, path in self.folders(now=False).items() if path == folder), folder)

  def params(self, folder: str) -> Params:
    """The parameters of the policy in this folder, loaded if they are not in memory."""
    with self._lock:
      if folder not in self._loaded:
        while len(self._loaded) >= LOADED:
          self._loaded.popitem(last=False)
        self._loaded[folder] = answering.params_of(folder, self.config, self.parts, self._root)
      self._loaded.move_to_end(folder)
      return self._loaded[folder]
