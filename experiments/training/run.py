"""One run, from its config to its last checkpoint."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from experiments.run_folder import RunFolder
from experiments.training import base_policy, dataset, loop, setup
from experiments.training.collect import Demonstrations, Online
from experiments.training.setup import Parts
from experiments.training.state import new_state, random_params


def train(
  config: ConfigDict,
  folder: RunFolder,
  root: str,
  report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
  """Trains the policy of this config, or goes on where the folder's last checkpoint left it.

  The base policy, and the data set of an offline run, are found below `root` or made there first.
  `report` is called with every row of metrics. Returns the last value of each metric.
  """
  parts = Parts.of(config)
  folder.write_env(setup.device_line())
  if config.base.steps:
    base = base_policy.params_of(base_policy.ensure(config, root, report), parts)
  else:
    base = random_params(parts.model, parts.mesh, config.base.seed)
  state = new_state(base, parts.mesh)  # a copy: the reference stays what it is

  if config.source == "online":
    source = Online(parts)
  elif config.source == "demonstrations":
    source = Demonstrations(config, parts.task)
  else:
    path = config.offline.dataset or dataset.ensure(parts, base, root, report)
    source = dataset.load(parts, path)
  return loop.train(parts, folder, state, source, reference=base, report=report)
