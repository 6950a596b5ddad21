"""Evaluates a checkpoint of a run on the prompts held out from training.

python -m experiments.evaluate --run=runs/quick/grpo-k8-s0 --samples=16

Prints the reward of greedy and of sampled responses, pass@k, the KL to the base policy, entropy and
length, each with its standard error over prompts, and completions to read. Writes evaluation.json
in the run's folder.
"""

import json
import os
from collections.abc import Sequence
from functools import partial

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from experiments.command_line import cli
from training.errors import UserError
from training.run_folder import RunFolder, write_atomically

FLAGS = {
  "run": ("", "the run's folder"),
  "step": (-1, "the checkpoint's step (default: the latest)"),
  "samples": (16, "responses drawn for each prompt; pass@k is estimated for k = 1, 2, 4, ..."),
  "show": (8, "completions to print"),
}
ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS, configs=None)
  folder = RunFolder(args.run)
  about = folder.read_config()
  if not about:
    raise UserError(f"--run={args.run!r} is no run's folder (it would hold config.json)")
  if args.samples < 1:
    raise UserError(f"--samples={args.samples}: at least 1")

  rows, shown = evaluate(folder, ConfigDict(about["config"]), args)
  console = Console()
  table = Table("metric", "value", "± s.e.", box=None)
  for name, (value, error) in rows.items():
    table.add_row(name, f"{value:.4f}", f"{error:.4f}")
  console.print(table)
  for row in shown:
    mark = "✓" if row["reward"] > 0.5 else "✗"
    answer = f"   ({row['answer']})" if row["answer"] else ""
    console.print(f"  {mark} {row['prompt']} {row['completion']}{answer}", markup=False)
  record = {
    name: {"value": value, "standard_error": error} for name, (value, error) in rows.items()
  }
  path = os.path.join(folder.path, "evaluation.json")
  write_atomically(path, json.dumps({"samples": args.samples, "metrics": record}, indent=2) + "\n")
  return 0


def evaluate(folder: RunFolder, config: ConfigDict, args):
  """{metric: (mean, standard error over prompts)}, and completions; imports jax."""
  import numpy as np

  from training import base_policy, run
  from training.checkpoints import loaded
  from training.evaluation import completions, measure, pass_at_k
  from training.setup import Parts
  from training.start import starting_state

  if "scores" in run.words_of(config):
    raise UserError(f"--run={args.run!r} is a reward model; its eval/accuracy is in metrics.jsonl")
  config.mesh.update(data=1, fsdp=1, tensor=1)  # whatever the run was trained on
  parts = Parts.of(config)
  reference = base_policy.starting_params(config, parts, ROOT, lambda row: None)
  step = None if args.step < 0 else args.step
  state = loaded(folder, partial(starting_state, parts), reference, parts.mesh, step)
  measured = measure(parts, state.params, reference, int(state.step), args.samples)

  for fault in parts.task.reward.new_faults():
    print(f"warning: {fault}")
  assert measured.log_ratios is not None  # there is a reference
  is_scored = bool(np.isfinite(measured.rewards).any())  # not where others judged the responses
  per_prompt = {}
  if is_scored:
    per_prompt["reward, greedy"] = measured.greedy_rewards
    per_prompt["reward, sampled"] = np.nanmean(measured.rewards, axis=1)
  per_prompt |= {
    "KL to the base policy (nats a sequence)": measured.log_ratios.mean(axis=1),
    "entropy (nats a token)": measured.entropy,
    "length (tokens)": measured.greedy_lengths,
    "finished": measured.greedy_finished,
  }
  k = 1
  while is_scored and k <= args.samples:
    per_prompt[f"pass@{k}"] = pass_at_k(measured.rewards, k)
    k *= 2
  rows = {
    name: (float(np.nanmean(x)), float(np.nanstd(x) / np.sqrt(np.isfinite(x).sum())))
    for name, x in per_prompt.items()  # a prompt without a scored response is left out
  }
  return rows, completions(parts, measured, int(state.step), args.show)


if __name__ == "__main__":
  cli.run(main)
