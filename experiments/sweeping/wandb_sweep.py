"""The same sweep for W&B's own launcher: a file for `wandb sweep`, whose agents train the runs.

  python -m experiments.sweep --config=FILE --dry_run=wandb > sweep.yaml
  wandb sweep sweep.yaml       it prints an id
  wandb agent ID               on as many machines as you like

A sweep file may list any runs, and W&B's grid only takes products, so the grid has one parameter:
the whole command of a run. bash takes it out of the agent's `--command=...` and runs it.
"""

from collections.abc import Sequence
from typing import Any

import yaml

from experiments.sweeping.plan import Plan, PlannedRun

_RUN_IT = 'eval "exec ${1#--command=}"'


def show(sweep: Plan, runs: Sequence[PlannedRun]) -> None:
  """Prints the file."""
  print(yaml.safe_dump(sweep_config(sweep, runs), sort_keys=False, width=1000), end="")


def sweep_config(sweep: Plan, runs: Sequence[PlannedRun]) -> dict[str, Any]:
  """Returns the file's content for `wandb sweep`: the runs that are not finished yet, in order."""
  wandb = runs[0].config["wandb"]
  config = {
    "name": sweep.name,
    "description": f"the runs of {sweep.file}",
    "project": wandb["project"],
    "entity": wandb["entity"],
    "method": "grid",
    "command": ["${env}", "bash", "-c", _RUN_IT, "bash", "${args}"],
    "parameters": {"command": {"values": [run.command for run in runs if run.state != "finished"]}},
  }
  return {key: value for key, value in config.items() if value != ""}
