"""Times Counterpoint, TRL and Tunix at the same work, in turns, and writes the ratios.

python benchmarks/peers/run.py
python benchmarks/peers/run.py --works=dpo,generate --rounds=2
python benchmarks/peers/run.py --torch=torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl

Needs a quiet machine: torch's threads wait for each other, and other processes slow them most. The
peers are installed below --folder the first time. Each round of a work starts a process of each
library, one after the other, so that slow changes of the machine affect all alike; a ratio is of
the two medians of one round. Writes results.json and results.md in --folder.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any

import environments
import table

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent.parent
OURS = "counterpoint"
# Work -> peers that have it: Tunix has no RLOO, and no DPO with the reference's log-probs given.
WORKS = {
  "dpo": ("trl", "tunix"),
  "dpo_precomputed": ("trl",),
  "grpo": ("trl", "tunix"),
  "grpo_kl": ("trl", "tunix"),
  "rloo": ("trl",),
  "generate": ("trl", "tunix"),
  "dpo_pandalm": ("trl",),
  "grpo_gsm8k": ("trl",),
  "generate_gsm8k": ("trl",),
}


@dataclasses.dataclass(frozen=True)
class Bench:
  """The settings of a comparison."""

  folder: pathlib.Path
  pythons: dict[str, pathlib.Path]  # of the peers' environments
  steps: int  # timed, in each process
  rounds: int

  def time(self, work: str) -> dict[str, list[dict[str, Any]]]:
    """Times a work with each library; returns {library: one record a round}."""
    found: dict[str, list[dict[str, Any]]] = {OURS: []}
    with tempfile.TemporaryDirectory() as caches:  # compiled programs: none in the first round
      for number in range(1, self.rounds + 1):
        for library in (OURS, *WORKS[work]):
          if library != OURS and library not in self.pythons:
            continue
          record = self._one(library, work, caches)
          found.setdefault(library, []).append(record)
          print(f"{work} {number}/{self.rounds}: {table.line(library, record)}", flush=True)
    return found

  def _one(self, library: str, work: str, caches: str) -> dict[str, Any]:
    """Runs one process; returns its record. SystemExit, naming its log, if it failed."""
    result = self.folder / "result.json"
    result.unlink(missing_ok=True)
    environment = os.environ | {
      "JAX_COMPILATION_CACHE_DIR": os.path.join(caches, library),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
      "HF_HUB_OFFLINE": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules compile once, as they usually do
    if library == OURS:
      # As its commands do for themselves (training/records/environment.py).
      environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    log = self.folder / f"{library}.txt"
    started = time.time()
    with log.open("w") as output:
      done = subprocess.run(
        self._command(library, work, result),
        env=environment,
        cwd=PROJECT if library == OURS else self.folder,
        stdout=output,
        stderr=output,
      )
    if done.returncode:
      sys.exit(f"{library}, {work}: failed; see the end of {log}")
    record = json.loads(result.read_text())
    if library == OURS:
      record["steps"] = [sum(step.values()) for step in record["steps"]]
    return record | {"first_step_seconds": record["first_done"] - started}

  def _command(self, library: str, work: str, result: pathlib.Path) -> list[str]:
    if library == OURS:
      job = self.folder / "job.json"
      about = {"work": work, "size": "tiny", "dtype": "float32", "steps": self.steps}
      job.write_text(json.dumps(about))
      return [sys.executable, "-m", "benchmarks.worker", str(job), str(result)]
    script = [str(self.pythons[library]), str(HERE / f"{library}_bench.py"), work]
    model = [str(self.folder / "model")] if library == "trl" else []
    return [*script, *model, str(self.steps), str(result)]


def main() -> None:
  arguments = parse()
  folder = pathlib.Path(arguments.folder).resolve()
  folder.mkdir(parents=True, exist_ok=True)
  works = choose("works", arguments.works, list(WORKS))
  peers = choose("peers", arguments.peers, list(environments.PACKAGES))
  pythons = {peer: environments.ensure(peer, folder, arguments.torch) for peer in peers}
  if "trl" in pythons:
    prepare = [str(pythons["trl"]), str(HERE / "trl_bench.py"), "prepare", str(folder / "model")]
    subprocess.run(prepare, check=True, capture_output=True)
  bench = Bench(folder, pythons, arguments.steps, arguments.rounds)
  record = {"machine": machine(), "steps": bench.steps, "rounds": bench.rounds, "works": {}}
  for work in works:
    record["works"][work] = bench.time(work)
    (folder / "results.json").write_text(json.dumps(record, indent=2) + "\n")  # so far
    (folder / "results.md").write_text(table.markdown(record))
  print(table.markdown(record))


def parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python benchmarks/peers/run.py",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("--folder", default="runs/peers", help="of environments and results")
  parser.add_argument("--works", default=",".join(WORKS), help="default: %(default)s")
  parser.add_argument("--peers", default="trl,tunix", help="default: %(default)s")
  parser.add_argument("--rounds", type=int, default=3, help="processes each; default %(default)s")
  parser.add_argument("--steps", type=int, default=5, help="timed in each; default %(default)s")
  parser.add_argument("--torch", default=environments.TORCH, help="what pip installs, or a file")
  return parser.parse_args()


def choose(flag: str, text: str, names: list[str]) -> list[str]:
  chosen = text.split(",")
  strangers = [name for name in chosen if name not in names]
  if strangers:
    sys.exit(f"error: --{flag}={strangers[0]}: choose from {','.join(names)}")
  return chosen


def machine() -> dict[str, Any]:
  """Describes the machine, for the line above the results."""
  commit = subprocess.run(
    ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"], capture_output=True, text=True
  )
  processor = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path("/proc/cpuinfo")
  if cpuinfo.exists():
    names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else processor
  return {
    "processor": processor,
    "load": os.getloadavg()[0],  # 0 on a quiet machine
    "cores": os.cpu_count(),
    "python": platform.python_version(),
    "commit": commit.stdout.strip(),
  }


if __name__ == "__main__":
  main()
