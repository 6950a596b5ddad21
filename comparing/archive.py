"""A comparison in one file, small enough to be committed: all evaluations, none of the rest.

Read like a folder, it gives the page, the table and the verdict again, but for what only the runs'
own folders have: training metrics, texts, rewards by prompt.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from comparing.runs import Run, RunSet
from configs.config_values import flatten
from training.errors import UserError
from training.records.files import write_atomically
from training.records.metric_columns import Columns
from training.records.run_folder import RunFolder

_COUNTS = ("step", "rollouts", "tokens", "seconds")
_DIGITS = 6  # that are kept of a number


def is_archive(path: str) -> bool:
  return path.endswith(".json") and os.path.isfile(path)


def write(path: str, runs: Mapping[str, Sequence[Run]], **about: str) -> None:
  """Writes the runs, by variant. UserError if some have not finished: what is quoted is complete.

  `about`: "name" and "file" of the sweep, and the "command" that makes the runs.
  """
  everyone = [run for of_variant in runs.values() for run in of_variant]
  if missing := [f"{run.name} is {run.state}" for run in everyone if run.state != "finished"]:
    raise UserError(f"{path}: not written, {', '.join(missing[:4])}")
  shared_config = _shared([flatten(run.config) for run in everyone])
  shared_env = _shared([run.env for run in everyone])
  time = max(run.status["time"] for run in everyone)
  lines = [
    {
      "name": run.name,
      "variant": variant,
      "env": {key: x for key, x in run.env.items() if key not in shared_env},
      "config": {key: x for key, x in flatten(run.config).items() if key not in shared_config},
      "rows": _evaluations(run.rows),
    }
    for variant, of_variant in runs.items()
    for run in of_variant
  ]
  head = {"about": about, "time": time, "env": shared_env, "config": shared_config}
  parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
  parts.append('"runs": [\n' + ",\n".join(map(json.dumps, lines)) + "\n]")
  write_atomically(path, "{" + ",\n".join(parts) + "}\n")


def read(path: str) -> RunSet:
  """The runs of an archive. UserError if the file is none."""
  try:
    with open(path) as file:
      found = json.load(file)
    runs = tuple(_run(path, found, run) for run in found["runs"])
    return RunSet(path, found["about"], runs)
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path} is no archive of a comparison: {error!r:.80}") from error


def _shared(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """The items that all have alike."""
  first, *others = values
  return {k: x for k, x in first.items() if all(k in v and v[k] == x for v in others)}


def _evaluations(rows: Columns) -> list[dict[str, Any]]:
  places = {i for name in rows.names if name[:5] == "eval/" for i in rows.where(name).tolist()}
  return [_evaluation(rows[index]) for index in sorted(places)]


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
  kept = {key: x for key, x in row.items() if key in _COUNTS or key[:5] == "eval/"}
  return {key: float(f"{x:.{_DIGITS}g}") if isinstance(x, float) else x for key, x in kept.items()}


def _run(path: str, head: Mapping[str, Any], run: Mapping[str, Any]) -> Run:
  step = run["rows"][-1]["step"]
  return Run(
    folder=RunFolder(os.path.join(path.removesuffix(".json"), run["name"])),  # there is none
    variant=run["variant"],
    state="finished",
    status={"state": "finished", "step": step, "steps": step, "time": head["time"]},
    config=_nested(head["config"] | run["config"]),
    rows=Columns(run["rows"]),
    env=head["env"] | run["env"],
  )


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  """{"model.layers": 3} -> {"model": {"layers": 3}}."""
  nested: dict[str, Any] = {}
  for key, value in flat.items():
    *sections, name = key.split(".")
    inner = nested
    for section in sections:
      inner = inner.setdefault(section, {})
    inner[name] = value
  return nested
