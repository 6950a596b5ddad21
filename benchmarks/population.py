"""Times eight seeds of GRPO as one program, one after another, and in eight processes.

python -m benchmarks.population --rounds=2

Times whole sweeps from the command to its table, with runs like those of configs/sweeps/quick.py, a
warm compilation cache and the base policy trained before. The three ways take turns.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from experiments.command_line import cli

PROJECT = pathlib.Path(__file__).parent.parent
SWEEP = """
def get_sweep():
  for seed in range(8):
    yield {"config": "configs/grpo.py:k=8", "seed": seed}
"""
WAYS = {
  "one program": ["--vectorize=8"],
  "one after another": ["--vectorize=off"],
  "eight processes": ["--vectorize=off", "--jobs=8"],
}
SETTINGS = {
  **{"steps": 20, "eval.every": 1000, "checkpoint.every": 1000},
  **{"task.eval_prompts": 64, "wandb.mode": "disabled"},
}
FLAGS = {"rounds": (2, "how often each way is timed")}


def main(argv: Sequence[str]) -> None:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs=None)
  with tempfile.TemporaryDirectory() as place:
    for way in WAYS:
      sweep(place, way, SETTINGS | {"steps": 1})  # compiles
    rounds = [{way: sweep(place, way, SETTINGS) for way in WAYS} for _ in range(flags.rounds)]
  print("| way | seconds | one after another / this (rounds) |\n| --- | --- | --- |")
  for way in WAYS:
    ratios = [each["one after another"] / each[way] for each in rounds]
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"| {way} | {min(each[way] for each in rounds):.1f} | {listed} |")


def sweep(place: str, way: str, settings: dict) -> float:
  """Runs a sweep of eight runs; returns its seconds."""
  file = pathlib.Path(place) / "eight_seeds.py"
  file.write_text(SWEEP)
  words = [f"--config.{name}={value}" for name, value in settings.items()]
  with tempfile.TemporaryDirectory(dir=place) as out:
    words += WAYS[way] + [f"--config={file}", f"--out={out}/sweep"]
    began = time.perf_counter()
    subprocess.run(
      [sys.executable, "-m", "experiments.sweep", *words],
      cwd=PROJECT,
      env=os.environ,
      check=True,
      stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
  cli.run(main)
