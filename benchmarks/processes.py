"""Runs each timed work in a process of its own, and turns its seconds into readable numbers."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.sizes import SIZES
from benchmarks.worker import Job
from benchmarks.works import WORKS
from training import flops
from training.errors import UserError
from training.records import compiled_programs, environment

LAST_LINES = 3  # of a failed process's output, for the error message


def rates() -> dict[str, Any]:
  """Measures the machine's rates: {"backend", "device", "matmul": {...}, "memory": {...}}."""
  with tempfile.TemporaryDirectory() as folder:
    return _run(Job(), folder)


def measure(job: Job, machine: dict[str, Any]) -> dict[str, Any]:
  """Times one work; returns its record.

  A first process finds no compiled programs, does the steps and measures memory; a second one finds
  those of the first and does one step. Raises UserError if a process fails.
  """
  with tempfile.TemporaryDirectory() as folder:  # it holds the compiled programs, too
    cold = _run(job, folder)
    warm = _run(dataclasses.replace(job, steps=0), folder)
  return {
    "first_step_seconds": {"cold": cold["first_after"], "warm": warm["first_after"]},
    "compile_seconds": {"cold": cold["compile_seconds"], "warm": warm["compile_seconds"]},
    "peak_bytes": cold["peak_bytes"],
    "phases": phases(job, cold["steps"], machine),
  }


def phases(job: Job, steps: list[dict[str, float]], machine: dict[str, Any]) -> dict[str, Any]:
  """Returns each phase's seconds, FLOPs and shares of the machine's rates; the whole is "step".

  Shares are of the median. Only sampling ("collect") has a share of the rate of reading memory.
  """
  work, size = WORKS[job.work], SIZES[job.size]
  batch, needed = work.batch(size), work.flops(size)
  seconds = {phase: [step[phase] for step in steps] for phase in needed}
  if len(needed) > 1:
    seconds["step"] = [sum(step.values()) for step in steps]
    needed = needed | {"step": sum(needed.values())}
  records: dict[str, Any] = {}
  for phase, values in seconds.items():
    median = statistics.median(values)
    rate = needed[phase] / median
    records[phase] = {
      "seconds": values,
      "median": median,
      "best": min(values),
      "flops": needed[phase],
      "flops_per_second": rate,
      "share_of_matmul_rate": rate / machine["matmul"]["flops_per_second"],
      "tokens_per_second": _tokens(phase, batch) / median,
    }
  if "collect" in records:
    width = 2 if job.dtype == "bfloat16" else 4
    read = flops.sample_bytes(size.model, batch, width) / records["collect"]["median"]
    share = read / machine["memory"]["bytes_per_second"]
    records["collect"] |= {"bytes_per_second": read, "share_of_memory_rate": share}
  return records


def _tokens(phase: str, batch: flops.Batch) -> int:
  """Counts a phase's tokens: the new ones when sampling; when training all, each prompt once."""
  return batch.responses * batch.response_tokens if phase == "collect" else batch.tokens


def _run(job: Job, folder: str) -> dict[str, Any]:
  """Runs a worker; returns its result and `first_after`, seconds from start to first step's end."""
  names = ("job.json", "result.json", "output.txt")
  job_path, result_path, output_path = (os.path.join(folder, name) for name in names)
  with open(job_path, "w") as file:
    json.dump(dataclasses.asdict(job), file)
  settings = environment.HUGE_PAGES | compiled_programs.kept_below(folder)  # as `train` has them
  command = [sys.executable, "-m", "benchmarks.worker", job_path, result_path]
  started = time.time()
  with open(output_path, "w+") as output:
    done = subprocess.run(command, env=os.environ | settings, stdout=output, stderr=output)
    output.seek(0)
    said = output.read().strip().splitlines()
  if done.returncode:
    why = "\n".join(said[-LAST_LINES:]) or f"exit code {done.returncode}"
    raise UserError(f"--only={job.work or 'rates'}: its process failed.\n{why}")
  with open(result_path) as file:
    result = json.load(file)
  return result | {"first_after": result.get("first_done", started) - started}
