"""Eight seeds of GRPO as one program, against one run after another and against eight processes.

python benchmarks/population.py --rounds=2

Whole sweeps are timed, from the command to its table, with a warm compilation cache and the base
policy there: A B C A B C. Two sizes: that of configs/sweeps/quick.py, whose steps are matrix
products, and a small one, whose steps are mostly the cost of starting them.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

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
COMMON = {"wandb.mode": "disabled", "eval.every": 1000, "checkpoint.every": 1000}
SIZES = {
  "quick": {"steps": 20, "task.eval_prompts": 64},
  "small": {
    **{"steps": 200, "batch_prompts": 4, "task.eval_prompts": 32, "task.train_prompts": 1024},
    **{"model.layers": 2, "model.d_model": 32, "model.ff_dim": 64, "model.head_dim": 16},
    **{"base.batch_prompts": 16},
  },
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--rounds", type=int, default=2, help="times that each way is timed")
  parser.add_argument("--sizes", default=",".join(SIZES), help="which, separated by commas")
  flags = parser.parse_args()
  print("| size | way | seconds | processor seconds | against one after another |")
  print("| --- | --- | --- | --- | --- |")
  with tempfile.TemporaryDirectory() as place:
    for size in flags.sizes.split(","):
      settings = COMMON | SIZES[size]
      for way in WAYS:
        sweep(place, way, settings | {"steps": 1})  # compiles
      rounds = [{way: sweep(place, way, settings) for way in WAYS} for _ in range(flags.rounds)]
      for way in WAYS:
        wall, cpu = (min(each[way][i] for each in rounds) for i in (0, 1))
        ratios = [each["one after another"][0] / each[way][0] for each in rounds]
        listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {size} | {way} | {wall:.1f} | {cpu:.1f} | {listed} |", flush=True)


def sweep(place: str, way: str, settings: dict) -> tuple[float, float]:
  """Seconds, and processor seconds, of a sweep of eight runs."""
  file = pathlib.Path(place) / "eight_seeds.py"
  file.write_text(SWEEP)
  words = [f"--config.{name}={value}" for name, value in settings.items()]
  with tempfile.TemporaryDirectory(dir=place) as out:
    words += WAYS[way] + [f"--config={file}", f"--out={out}/sweep"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
      [sys.executable, "-m", "experiments.sweep", *words],
      cwd=PROJECT,
      env=os.environ,
      check=True,
      stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
  cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
  return time.perf_counter() - began, cpu


if __name__ == "__main__":
  main()
