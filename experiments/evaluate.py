"""Evaluates checkpoints of runs, or models, on the prompts held out from training.

python -m experiments.evaluate runs/quick/grpo-k8-s0 --samples=16
python -m experiments.evaluate runs/quick/grpo-k2-s0 runs/quick/grpo-k8-s0 --task=chain_sum
python -m experiments.evaluate runs/mine-s0 Qwen/Qwen3-0.6B --config.task.eval_prompts=200

Prints the reward of greedy and of sampled responses, pass@k, the KL to the base policy, entropy and
length, each with its standard error over prompts. Of several, each also minus the first, paired
over the prompts; of one, completions to read. A run is evaluated on its mesh, where this machine
has the devices. A Hugging Face folder is evaluated on the first run's task. Writes evaluation.json
into the folder of each run that is evaluated on its own task.
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from comparing.safe_text import safe_text
from experiments.command_line import cli
from tasks.visible_text import visible
from training import load_run
from training.checking import config_files, evaluated_config
from training.errors import UserError
from training.records.files import write_json
from training.records.run_folder import RunFolder

if TYPE_CHECKING:
  from training.evaluation import Evaluated
  from training.policy import Policy

FLAGS = {
  "run": (cli.Words(), "a run's folder, or a Hugging Face folder; as many as you like"),
  "step": (-1, "the checkpoint's step (default: the latest)"),
  "task": ("", "another task, with its own reward and options (default: the run's)"),
  "samples": (16, "responses drawn for each prompt; pass@k is estimated for k = 1, 2, 4, ... n"),
  "show": (8, "completions to print, of one run"),
}


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS, configs=None, of_runs=True)
  if not args.run:
    raise UserError("name a run's folder, such as runs/quick/grpo-k8-s0 (see --help)")
  if args.samples < 1:
    raise UserError(f"--samples={args.samples}: at least 1")
  configs = configs_of(args.run, args.task, args.overrides)

  console, found, prompts = Console(), {}, {}
  for path, config in configs.items():
    policy = policy_of(path, config, args.step, args.overrides)
    found[path] = policy.evaluate(args.samples)
    prompts[path] = [item.prompt for item in policy.parts.task.evaluation]
    for fault in policy.parts.task.reward.new_faults():
      print(visible(f"warning: {fault}"))
    if RunFolder(path).read_config().get("config") and not args.task and not args.overrides:
      write_evaluation(path, args.samples, found[path])
  if not console.is_terminal:  # a file has no width: never fold a number
    console.width = max(console.width, 120)
  if len(found) > 1:
    console.print(comparison_of(found, prompts, configs))
    return 0
  (result,) = found.values()
  console.print(table_of(result))
  for row in result.completions[: args.show]:
    mark = "✓" if row["reward"] > 0.5 else "✗"
    answer = f"   ({row['answer']})" if row["answer"] else ""
    console.print(safe_text(f"  {mark} {row['prompt']} {row['completion']}{answer}"))
  return 0


def configs_of(
  paths: Sequence[str], task: str, overrides: Mapping[str, Any]
) -> dict[str, ConfigDict]:
  """By which config each is evaluated, checked before anything is loaded. UserError if one is not.

  A model that is no run takes the first run's.
  """
  saved = {path: RunFolder(path).read_config().get("config") for path in paths}
  for path in [path for path, config in saved.items() if not config]:
    if not os.path.exists(path) or (os.path.isdir(path) and not os.listdir(path)):
      raise UserError(f"{path!r} is no run's folder (it would hold config.json), and no model")
  first = next((config_files.of_record(config) for config in saved.values() if config), None)
  return {
    path: evaluated_config.of_run(config_files.of_record(config), task, overrides)
    if config
    else evaluated_config.of_files(path, first, task, overrides)
    for path, config in saved.items()
  }


def policy_of(path: str, config: ConfigDict, step: int, overrides: Mapping[str, Any]) -> "Policy":
  """The policy, loaded: of a run at this step (-1: the latest), or of a model's files."""
  import jax

  from training.policy import ONE_DEVICE, Policy

  mesh = config.mesh.to_dict()
  is_asked = any(key.startswith("mesh.") for key in overrides)
  if math.prod(mesh.values()) > jax.device_count() and not is_asked:
    mesh = ONE_DEVICE  # the run's machine had more
  with config.unlocked():
    config.mesh.update(mesh)
  if not RunFolder(path).read_config().get("config"):
    return Policy.pretrained(config)
  return load_run(path).policy_at(None if step < 0 else step, mesh).with_config(config)


def write_evaluation(path: str, samples: int, found: "Evaluated") -> None:
  record = {name: mean._asdict() for name, mean in found.metrics.items()}
  write_json(os.path.join(path, "evaluation.json"), {"samples": samples, "metrics": record})


def table_of(found: "Evaluated") -> Table:
  table = Table("metric", "value", "± s.e.", box=None)
  for name, (value, error) in found.metrics.items():
    table.add_row(name, f"{value:.4f}", f"{error:.4f}")
  return table


def comparison_of(
  found: Mapping[str, "Evaluated"],
  prompts: Mapping[str, Sequence[Any]],
  configs: Mapping[str, ConfigDict],
) -> Table:
  """A row a metric and policy, with the difference to the first, paired over the prompts."""
  first, *others = found
  names = dict(zip(found, _short_names(list(found)), strict=True))
  title = f"mean ± standard error over prompts; differences to {names[first]}, paired over prompts"
  table = Table(title=safe_text(title), title_justify="left", box=None, pad_edge=False)
  for column in ("metric", "policy"):
    table.add_column(column, no_wrap=True)
  for column in ("value", "difference"):
    table.add_column(column, justify="right", no_wrap=True)
  apart = [path for path in others if prompts[path] != prompts[first]]
  task = configs[first].task
  rewards = [path for path in others if configs[path].task.reward != task.reward]
  metrics = dict.fromkeys(name for result in found.values() for name in result.metrics)
  for metric in metrics:
    label = metric
    for path, result in found.items():
      if metric not in result.metrics:
        continue
      gap = {} if path == first or path in apart else result.minus(found[first])
      shown = (
        f"{gap[metric].value:+.4f} ± {gap[metric].standard_error:.4f}" if metric in gap else ""
      )
      table.add_row(label, safe_text(names[path]), str(result.metrics[metric]), shown)
      label = ""
  notes = [f"{names[path]}: other prompts than {names[first]}, so no difference" for path in apart]
  notes += [f"{names[path]}: another reward than {names[first]}" for path in rewards]
  table.caption = safe_text("\n".join(notes)) if notes else None
  return table


def _short_names(paths: Sequence[str]) -> list[str]:
  """The folders' own names, where these tell them apart."""
  names = [os.path.basename(os.path.normpath(path)) for path in paths]
  return names if len(set(names)) == len(names) else list(paths)


if __name__ == "__main__":
  cli.run(main)
