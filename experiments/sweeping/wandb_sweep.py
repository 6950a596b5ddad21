"""The same sweep for W&B's own launcher: a file for `wandb sweep`, whose agents train the runs.

  python -m experiments.sweep --config=FILE --dry_run=wandb > sweep.yaml
  wandb sweep sweep.yaml       it prints an id
  wandb agent ID               on as many machines as you like

Where the runs are every combination of some fields of one config, these fields are the parameters,
so that W&B can plot how much each matters, and another method (bayes, random) or a range can be
written into the file. The runs then lie in the sweep's folder, where experiments.report finds them.

W&B's grid takes nothing but products. Of any other sweep it has one parameter, the whole command of
a run; bash takes it out of the agent's `--command=...` and runs it.
"""

import math
from collections.abc import Sequence
from typing import Any

import yaml

from configs.config_values import flatten
from experiments.sweeping.plan import Plan, PlannedRun

_RUN_IT = 'eval "exec ${1#--command=}"'


def show(sweep: Plan, runs: Sequence[PlannedRun]) -> None:
  """Prints the file."""
  print(yaml.safe_dump(sweep_config(sweep, runs), sort_keys=False, width=1000), end="")


def sweep_config(sweep: Plan, runs: Sequence[PlannedRun]) -> dict[str, Any]:
  """Returns the file's content for `wandb sweep`: the runs that are not finished yet, in order."""
  left = [run for run in runs if run.state != "finished"]
  fields = parameters(left)
  if fields:
    where = [f"--config={left[0].config_file}", f"--group={sweep.name}", f"--into={sweep.folder}"]
    command = ["${env}", "python", "-m", "experiments.train", *where, "${args}"]
  else:
    command = ["${env}", "bash", "-c", _RUN_IT, "bash", "${args}"]
    fields = {"command": {"values": [run.command for run in left]}}
  wandb = runs[0].config["wandb"]
  config = {
    "name": sweep.name,
    "description": f"the runs of {sweep.file}",
    "project": wandb["project"],
    "entity": wandb["entity"],
    "method": "grid",
    "metric": {"name": "eval/reward_sampled", "goal": "maximize"},
    "command": command,
    "parameters": fields,
  }
  return {key: value for key, value in config.items() if value != ""}


def parameters(runs: Sequence[PlannedRun]) -> dict[str, Any]:
  """The fields and their values of which the runs are every combination; {} if they are not.

  Neither are runs of several config files, nor those that their sweep file gives names.
  """
  if len({run.config_file for run in runs}) != 1 or any(run.is_named for run in runs):
    return {}
  keys = list(dict.fromkeys(key for run in runs for key in run.overrides))
  flat = [flatten(run.config) for run in runs]
  values = {key: list(dict.fromkeys(config[key] for config in flat)) for key in keys}
  told = {tuple(config[key] for key in keys) for config in flat}
  if len(told) != len(runs) or len(runs) != math.prod(map(len, values.values())):
    return {}
  return {f"config.{key}": {"values": found} for key, found in values.items()}
