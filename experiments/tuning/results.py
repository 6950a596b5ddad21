"""The results of a tune: best.json, from which the sweep takes its values and the page its curves.

best.json says for each variant the best values, what was tried and what it cost; and what it was
tuned as, so that results which no longer fit their sweep file are refused by name.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from comparing import tuning
from comparing.safe_text import safe_text
from configs.config_values import flatten
from experiments.sweeping import plan
from experiments.sweeping.plan import Plan
from experiments.tuning import search, space
from experiments.tuning.trials import Done, Trials
from training.checking import digests
from training.errors import UserError
from training.records import environment, files, run_folder

Results = dict[str, Any]

_SHOWN = 6  # problems


def collect(tune: Plan, all_trials: Sequence[Trials], file_space: space.Space) -> Results:
  """The contents of best.json. `file_space` is the sweep file's own, whatever was typed."""
  configs = {one.variant: _tuned_as(one.base.config, one.domains) for one in all_trials}
  first, *others = configs.values()
  shared = {
    key: value
    for key, value in first.items()
    if all(key in config and config[key] == value for config in others)
  }
  return {
    "name": tune.name,
    "sweep": tune.file,
    "time": time.time(),
    "commit": environment.git_commit(),
    "score": _score_name(all_trials),
    "seeds": list(all_trials[0].seeds),
    "config": shared,
    "variants": {
      one.variant: _of_variant(one, file_space.get(one.variant, {}))
      | {"config": {k: v for k, v in configs[one.variant].items() if k not in shared}}
      for one in all_trials
    },
  }


def write(folder: str, found: Results) -> None:
  files.write_json(os.path.join(folder, tuning.FILE), found)


def write_page(folder: str) -> str:
  """Writes the tune's own report.html; returns its path."""
  from comparing import tuning_page  # Plotly and Jinja2 take half a second to import

  path = os.path.join(folder, "report.html")
  files.write_atomically(path, tuning_page.render(folder))
  return path


def read(path: str) -> Results:
  """The results in a tune's folder, or in a copy of its best.json. UserError if there are none."""
  file = os.path.join(path, tuning.FILE) if os.path.isdir(path) else path
  found = files.read_json(file)
  if "variants" not in found:
    raise UserError(f"--tuned={path}: no results of experiments.tune (it writes {tuning.FILE})")
  return found


def values(path: str, found: Results, sweep: Plan) -> dict[str, dict[str, Any]]:
  """The best values by variant. UserError, saying why, if they are not of this sweep.

  Args:
    sweep: planned without them.
  """
  problems = [
    *_other_variants(found, sweep),
    *_other_configs(found, sweep),
    *_other_spaces(found, sweep),
  ]
  shared = sorted({run.config["seed"] for run in sweep.runs} & {*found["seeds"]})
  if shared:
    problems.append(f"seed {', '.join(map(str, shared))} was tuned on, and is now compared on")
  if problems:
    more = [f"and {len(problems) - _SHOWN} more"] if problems[_SHOWN:] else []
    headline = f"--tuned={path} no longer fits {sweep.file}: tune again, or undo"
    raise UserError("\n".join([headline, *problems[:_SHOWN], *more]))
  return {name: about["best"] for name, about in found["variants"].items()}


def print_best(found: Results) -> None:
  """Prints the best of each variant, and the lines to write them into the sweep file."""
  console = Console()
  if not console.is_terminal:
    console.width = 160
  table = Table(box=None, pad_edge=False, title_justify="left", title_style="bold")
  table.title = f"best of the trials, {found['score']} over seeds {_seeds(found)}"
  for column in (
    "variant",
    "best",
    "score",
    "kl",
    "trials",
    "pruned",
    "diverged",
    "failed",
    "steps",
  ):
    table.add_column(column, justify="left" if column in ("variant", "best") else "right")
  for name, about in found["variants"].items():
    outcomes = [trial["outcome"] for trial in about["trials"]]
    counts = [str(outcomes.count(kind)) for kind in ("pruned", "diverged", "failed")]
    best = next((t for t in about["trials"] if t["number"] == about["best_trial"]), {})
    numbers = [_number(best.get("score")), _number(best.get("kl")), str(len(outcomes))]
    cells = [name, spoken(about["best"] or {}), *numbers, *counts, f"{about['steps']:,}"]
    table.add_row(*map(safe_text, cells))
  console.print(table)
  print("to keep them in the sweep file:")
  for name, about in found["variants"].items():
    if about["best"]:
      print("  " + ", ".join(f'"{k}": {v!r}' for k, v in about["best"].items()) + f",  # {name}")


def show_plan(tune: Plan, all_trials: Sequence[Trials], seeds: Sequence[int]) -> None:
  """Prints what is searched for each variant, and the most that it can cost."""
  console = Console()
  if not console.is_terminal:
    console.width = 140
  runs = sum(len(one.names) for one in all_trials)
  steps = sum(len(one.names) * one.base.config["steps"] for one in all_trials)
  variants = "1 variant" if len(all_trials) == 1 else f"{len(all_trials)} variants"
  words = f"{tune.file}: {variants}, at most {runs} runs and {steps:,} steps"
  print(f"{words}, in {tune.folder}; tuning seeds {', '.join(map(str, seeds))}")
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  for column in ("variant", "field", "over", "now", "trials", "runs", "steps a run", "judged at"):
    table.add_column(column, no_wrap=True)
  for one in all_trials:
    config = flatten(one.base.config)
    rungs = ", ".join(map(str, search.rungs(config["steps"], len(seeds))))
    costs = [str(one.most), f"≤ {len(one.names)}", str(config["steps"]), rungs]
    for index, (field, domain) in enumerate(one.domains.items()):
      over = [field, space.spoken(domain), str(config[field])]
      cells = ["" if index else one.variant, *over, *([""] * 4 if index else costs)]
      table.add_row(*map(safe_text, cells))
  console.print(table)


def spoken(chosen: Mapping[str, Any]) -> str:
  """ "learning_rate 0.0003, beta 0.1"."""
  texts = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in chosen.items()}
  return ", ".join(f"{field.rpartition('.')[2]} {text}" for field, text in texts.items())


def _of_variant(one: Trials, file_space: Mapping[str, search.Domain]) -> Results:
  best = one.best
  steps = [run.folder.read_status()["step"] for trial in one.done for run in trial.runs]
  return {
    "best": best.values if best else None,
    "best_trial": one.done.index(best) if best else None,
    "space": {field: space.as_json(domain) for field, domain in one.domains.items()},
    "file_space": {field: space.as_json(domain) for field, domain in file_space.items()},
    "before": {field: flatten(one.base.config)[field] for field in one.domains},
    "runs": len(steps),
    "steps": sum(steps),
    "trials": [_of_trial(number, trial) for number, trial in enumerate(one.done)],
  }


def _of_trial(number: int, trial: Done) -> Results:
  last = [run.folder.read_status() for run in trial.runs]

  def mean(metric: str) -> float | None:
    known = [value for status in last if (value := status["metrics"].get(metric)) is not None]
    return sum(known) / len(known) if known else None

  return {
    "number": number,
    "values": trial.values,
    "outcome": trial.outcome,
    "score": trial.score,
    "greedy": mean("eval/reward"),
    "kl": mean("eval/kl"),
    "runs": [
      {
        "name": run.name,
        "seed": run.config["seed"],
        "step": status["step"],
        "score": run_folder.headline(status["metrics"]),
      }
      for run, status in zip(trial.runs, last, strict=True)
    ],
  }


def _score_name(all_trials: Sequence[Trials]) -> str:
  """The metric that the trials were judged by."""
  found = [
    run.folder.read_status()["metrics"]
    for one in all_trials
    for trial in one.done
    for run in trial.runs
  ]
  return next(
    (name for name in run_folder.HEADLINES for metrics in found if metrics.get(name) is not None),
    "",
  )


def _tuned_as(config: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
  """The fields of a variant that its best values depend on, but for these themselves."""
  aside = (*digests.NOT_RESULTS, "eval")
  plain = json.loads(json.dumps(config))  # as it is read back: lists for tuples
  return {
    key: value
    for key, value in flatten(plain).items()
    if key.partition(".")[0] not in aside and key not in plan.PER_SEED and key not in tuned
  }


def _other_variants(found: Results, sweep: Plan) -> list[str]:
  names = dict.fromkeys(run.variant for run in sweep.runs)
  tuned = found["variants"]
  problems = [f"{name} was not tuned" for name in names if name not in tuned]
  problems += [
    f"{name} was tuned, and is no variant any more" for name in tuned if name not in names
  ]
  return problems + [
    f"{name} has no best values: no trial of it came to an end"
    for name, about in tuned.items()
    if about["best"] is None
  ]


def _other_configs(found: Results, sweep: Plan) -> list[str]:
  problems: dict[str, None] = {}
  for run in sweep.runs:
    if about := found["variants"].get(run.variant):
      old, new = found["config"] | about["config"], _tuned_as(run.config, about["space"])
      keys = [key for key in (old | new) if old.get(key) != new.get(key)]
      for key in keys:
        change = f"{old.get(key, '(none)')} -> {new.get(key, '(none)')}"
        problems[f"{run.variant}: {key} {change}"] = None
  return list(problems)


def _other_spaces(found: Results, sweep: Plan) -> list[str]:
  """The fields, or ranges, that the sweep file's get_tuning() has changed since."""
  variants = {run.variant: run for run in sweep.runs if run.variant in found["variants"]}
  problems = []
  for name, domains in space.of_file(sweep.file, variants).items():
    old = found["variants"][name]["file_space"]
    new = {field: space.as_json(domain) for field, domain in domains.items()}
    for field in [field for field in (old | new) if old.get(field) != new.get(field)]:
      was, now = (space.spoken(d[field]) if field in d else "(not tuned)" for d in (old, new))
      problems.append(f"{name}: {field} over {was} -> {now}")
  return problems


def _seeds(found: Results) -> str:
  return ", ".join(map(str, found["seeds"]))


def _number(value: float | None) -> str:
  return "—" if value is None else f"{value:.3f}"
