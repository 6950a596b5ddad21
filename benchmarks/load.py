"""The cost of large amounts: the commands themselves, on runs that are made up for it.

python -m benchmarks.load                     all of these, one after another
python -m benchmarks.load page rows           some of them
python -m benchmarks.load --share=0.1         a tenth of each

  plan    a sweep of 1,000 runs, checked and printed (--dry_run)
  page    the comparison and page of 20 variants x 10 seeds, 5,000 rows each
  rows    the page of one run, whose metrics.jsonl has a million rows
  texts   the page of one run, whose completions.jsonl has a GB
  steps   2,000 steps of training: memory, threads and open files at a tenth, and at the end
  crowd   the page where people choose: 200 clients that ask and choose, 500 that keep it waiting

Printed are the seconds on the clock and of the processor, its children's included, and the peak of
memory of the largest process.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks import crowd
from training.records.run_folder import RunFolder

MODEL = "layers=1 d_model=16 heads=2 kv_heads=1 head_dim=8 ff_dim=16".split()
SMALL = (
  ["--config=configs/grpo.py"]
  + [f"--config.model.{size}" for size in MODEL]
  + [
    f"--config.{word}"
    for word in (
      *("batch_prompts=8", "group_size=4", "sampling.max_tokens=8", "task.train_prompts=64"),
      *(
        "task.eval_prompts=16",
        "base.steps=4",
        "base.batch_prompts=16",
        "eval.every=100",
        "checkpoint.every=100",
      ),
    )
  ]
)


def main() -> int:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("works", nargs="*", help="which of them (default: all)")
  parser.add_argument("--share", type=float, default=1.0, help="of the amounts")
  arguments = parser.parse_args()
  if strangers := set(arguments.works) - WORKS.keys():
    parser.error(f"no work {', '.join(sorted(strangers))}; there are: {', '.join(WORKS)}")
  print("| work | seconds | CPU | peak MB | |\n| --- | --- | --- | --- | --- |", flush=True)
  for name in arguments.works or WORKS:
    with tempfile.TemporaryDirectory() as folder:
      print(f"| {name} | {WORKS[name](folder, arguments.share)} |", flush=True)
  return 0


def plan(folder: str, share: float) -> str:
  runs = round(1000 * share)
  with open(os.path.join(folder, "many.py"), "w") as file:
    file.write(
      "def get_sweep():\n"
      f"  rates = [1e-5 * 1.01**i for i in range({runs} // 5)]\n"
      "  return [{'config': 'configs/grpo.py', 'optimizer.learning_rate': rate, 'seed': seed}\n"
      "          for rate in rates for seed in range(5)]\n"
    )
  return command(folder, "sweep", "--config=many.py", "--dry_run") + f" | {runs:,} runs"


def page(folder: str, share: float) -> str:
  steps = round(5000 * share)
  names = []
  for variant in range(20):
    for seed in range(10):
      names.append({"name": f"v{variant}-s{seed}", "variant": f"v{variant}"})
      write_run(os.path.join(folder, "many", names[-1]["name"]), variant, seed, steps)
  with open(os.path.join(folder, "many", "sweep.json"), "w") as file:
    json.dump({"name": "many", "runs": names}, file)
  return command(folder, "report", "many") + f" | 200 runs x {steps:,} rows"


def rows(folder: str, share: float) -> str:
  steps = round(1_000_000 * share)
  write_run(os.path.join(folder, "long"), 0, 0, steps, evaluations=1000)
  size = os.path.getsize(os.path.join(folder, "long", "metrics.jsonl")) / 1e6
  return command(folder, "report", "long") + f" | {steps:,} rows, {size:,.0f} MB"


def texts(folder: str, share: float) -> str:
  write_run(os.path.join(folder, "texts"), 0, 0, 400)
  text = "These are words of a long answer. " * 60
  with open(os.path.join(folder, "texts", "completions.jsonl"), "w") as file:
    for step in range(0, 401, 4):
      for prompt in range(round(5000 * share)):
        row = {"step": step, "prompt": f"question {prompt}", "answer": "", "finished": True}
        row |= {"completion": f"{step} {text}", "reward": step / 400, "samples": []}
        file.write(json.dumps(row) + "\n")
    size = file.tell() / 1e6
  return command(folder, "report", "texts") + f" | {size:,.0f} MB of completions"


def write_run(path: str, variant: int, seed: int, steps: int, evaluations: int = 20) -> None:
  """A finished run of made-up numbers: 20 metrics a step, and those of evaluations."""
  run, draw = RunFolder(path), random.Random(f"{variant} {seed}")
  config = {"seed": seed, "steps": steps, "algorithm": {"loss": "grpo", "clip_low": variant / 100}}
  config |= {"task": {"name": "made up"}, "model": {"layers": 1}, "base": {"steps": 0}}
  config |= {"group_size": 8, "batch_prompts": 32, "source": "online"}
  run.create(
    config, digest="0", config_file="configs/grpo.py", variant=f"v{variant}", command="none"
  )
  run.write_env("cpu x1", "characters")
  with open(os.path.join(path, "metrics.jsonl"), "w") as file:
    for step in range(steps + 1):
      row = {"step": step, "rollouts": 256 * step, "tokens": 2000 * step, "seconds": 0.25 * step}
      if step % max(1, steps // evaluations) == 0:
        gain = variant / 100 * step / steps + draw.gauss(0, 0.01)
        row |= {"eval/reward": 0.5 + gain, "eval/reward_sampled": 0.4 + gain, "eval/kl": step / 1e6}
      if step:
        row |= {f"train/metric_{i:02}": round(draw.random(), 12) for i in range(12)}
        row |= {"train/loss": draw.random(), "train/reward": draw.random()}
        row |= {"train/grad_norm": draw.random(), "train/entropy": None if step % 7 else 1.5}
      file.write(json.dumps(row) + "\n")
  run.write_status("finished", step=steps, steps=steps)


def steps(folder: str, share: float) -> str:
  """Watches a run from outside, as it trains."""
  count = round(2000 * share)
  start, process = time.monotonic(), started(folder, "train", *trained(count))
  run, seen = RunFolder(os.path.join(folder, "run")), []
  while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
    found = state_of(process.pid)
    if found:
      seen.append((run.read_status().get("step", 0), *found))
    time.sleep(0.5)
  settled = [one for one in seen if one[0] >= count / 10]
  told = "; ".join(
    f"{name} {settled[0][i]:,} to {settled[-1][i]:,}"
    for i, name in enumerate(("steps", "MB", "threads", "files"))
  )
  return spent(start, ended) + f" | {told}"


def people(folder: str, share: float) -> str:
  done = started(folder, "train", *trained(4))
  if done.wait():
    sys.exit("the run whose policy is to be served did not finish")
  start = time.monotonic()
  words = ["--deployment=service", "--run=run", "--port=0"]
  server = started(folder, "serve", *words, stdout=subprocess.PIPE)
  assert server.stdout is not None
  port = int(server.stdout.readline().split()[0].rpartition(b":")[2])
  before = state_of(server.pid)
  told = crowd.visit(port, asking=round(200 * share), waiting=round(500 * share))
  after = state_of(server.pid)
  server.terminate()
  told += f"; MB, threads, files: {before} to {after}"
  return spent(start, os.wait4(server.pid, 0)) + f" | {told}"


def trained(count: int) -> list[str]:
  return [*SMALL, f"--config.steps={count}", "--config.wandb.mode=disabled", "--out=run"]


def command(folder: str, name: str, *words: str) -> str:
  """Runs a command of ours in the folder, and returns what it took."""
  start, process = time.monotonic(), started(folder, name, *words)
  ended = os.wait4(process.pid, 0)
  if ended[1]:
    sys.exit(f"{name} failed")
  return spent(start, ended)


def started(
  folder: str, name: str, *words: str, stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
  path = os.pathsep.join([os.getcwd(), os.path.abspath(folder)])
  return subprocess.Popen(
    [sys.executable, "-m", f"experiments.{name}", *words],
    cwd=folder,
    env=os.environ | {"PYTHONPATH": path},
    stdout=stdout,
  )


def spent(start: float, ended: tuple[int, int, Any]) -> str:
  """The columns of a process that `os.wait4` told the end of."""
  used = ended[2]
  return (
    f"{time.monotonic() - start:.1f} | {used.ru_utime + used.ru_stime:.1f} "
    f"| {used.ru_maxrss / 1024:,.0f}"
  )


def state_of(process: int) -> tuple[int, int, int] | None:
  """MB in memory, threads, open files of a process; None once it has ended."""
  try:
    with open(f"/proc/{process}/status") as file:
      fields = dict(line.split(":", 1) for line in file)
    files = len(os.listdir(f"/proc/{process}/fd"))
    return int(fields["VmRSS"].split()[0]) // 1024, int(fields["Threads"]), files
  except (OSError, KeyError):
    return None


WORKS: dict[str, Callable[[str, float], str]] = {
  "plan": plan,
  "page": page,
  "rows": rows,
  "texts": texts,
  "steps": steps,
  "crowd": people,
}

if __name__ == "__main__":
  sys.exit(main())
