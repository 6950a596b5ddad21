"""Evaluates a checkpoint of a run on the prompts held out from training.

python -m experiments.evaluate --run=runs/quick/grpo-k8-s0 --samples=16

Prints the reward of greedy and of sampled responses, pass@k, the KL to the base policy, entropy and
length, each with its standard error over prompts, and completions to read. Writes evaluation.json
in the run's folder.
"""

import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from experiments.command_line import cli
from training import load_run
from training.errors import UserError
from training.records.run_folder import RunFolder, write_json

FLAGS = {
  "run": ("", "the run's folder"),
  "step": (-1, "the checkpoint's step (default: the latest)"),
  "samples": (16, "responses drawn for each prompt; pass@k is estimated for k = 1, 2, 4, ..."),
  "show": (8, "completions to print"),
}


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__, FLAGS, configs=None)
  if not RunFolder(args.run).read_config():
    raise UserError(f"--run={args.run!r} is no run's folder (it would hold config.json)")
  if args.samples < 1:
    raise UserError(f"--samples={args.samples}: at least 1")

  run = load_run(args.run)
  policy = run.policy_at(None if args.step < 0 else args.step)
  found = policy.evaluate(args.samples)
  for fault in policy.parts.task.reward.new_faults():
    print(f"warning: {fault}")
  console = Console()
  table = Table("metric", "value", "± s.e.", box=None)
  for name, (value, error) in found.metrics.items():
    table.add_row(name, f"{value:.4f}", f"{error:.4f}")
  console.print(table)
  for row in found.completions[: args.show]:
    mark = "✓" if row["reward"] > 0.5 else "✗"
    answer = f"   ({row['answer']})" if row["answer"] else ""
    console.print(f"  {mark} {row['prompt']} {row['completion']}{answer}", markup=False)
  record = {name: mean._asdict() for name, mean in found.metrics.items()}
  write_json(
    os.path.join(run.folder, "evaluation.json"), {"samples": args.samples, "metrics": record}
  )
  return 0


if __name__ == "__main__":
  cli.run(main)
