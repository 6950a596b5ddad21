"""The process that times one work: `python -m benchmarks.worker JOB.json RESULT.json`.

Each work has its own process, so that peak memory and start-up are those of this work alone.
"""

import dataclasses
import json
import resource
import sys
import time
from typing import Any

from benchmarks.sizes import SIZES
from benchmarks.works import WORKS


@dataclasses.dataclass(frozen=True)
class Job:
  """Times `steps` steps of a work after the first; without a work, measures the machine's rates."""

  work: str = ""
  size: str = "tiny"
  dtype: str = ""
  steps: int = 0


def main(job_path: str, result_path: str) -> None:
  with open(job_path) as file:
    job = Job(**json.load(file))
  result = time_work(job) if job.work else rates()
  with open(result_path, "w") as file:
    json.dump(result, file)


def time_work(job: Job) -> dict[str, Any]:
  """Returns the seconds of each phase of each step after the first, and when that was done."""
  # Imports all that a run imports, so that it starts as one does.
  import training.assembly  # noqa: F401
  from benchmarks.steps import prepare
  from training.compilation import compile_seconds

  step = prepare(WORKS[job.work], SIZES[job.size], job.dtype)
  step(0)
  first_done, compiled = time.time(), compile_seconds()
  if WORKS[job.work].lengths:  # a program for each shape, compiled before any is timed
    for number in range(1, 1 + job.steps):
      step(number)
  return {
    "first_done": first_done,  # seconds since 1970; `processes` knows when this process started
    "compile_seconds": compiled,
    "steps": [step(number) for number in range(1, 1 + job.steps)],
    "peak_bytes": peak_bytes(),
  }


def rates() -> dict[str, Any]:
  import jax

  from benchmarks.rates import matmul_rate, memory_rate
  from training.devices import device_line

  return {
    "backend": jax.default_backend(),
    "device": f"{device_line()}, {jax.devices()[0].device_kind}",
    "matmul": matmul_rate(),
    "memory": memory_rate(),
  }


def peak_bytes() -> int:
  """Returns the peak of the process's resident memory on a CPU, of the device's elsewhere."""
  import jax

  stats = jax.local_devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
  if stats:
    return stats["peak_bytes_in_use"]
  in_kibibytes = sys.platform != "darwin"
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if in_kibibytes else 1)


if __name__ == "__main__":
  main(*sys.argv[1:])
