"""A worker process: `python -m experiments.sweeping.worker`, started by workers.Pool.

It reads one job a line from stdin, {"function": "module:name", "arguments": {...}, "log": path},
and calls name(report, **arguments) with everything printed going to the log. It writes JSON lines
to stdout: whatever the function reports, and how it ended. Jobs share the process, so one whose
shapes were seen before compiles nothing.

SIGINT, or stdin closed during a job (the sweep is gone), stops the job with KeyboardInterrupt.
"""

import _thread
import contextlib
import importlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tasks.visible_text import visible
from training import interrupts
from training.errors import Diverged, UserError
from training.records import compiled_programs, full_disk


def main() -> int:
  interrupts.repeat_lost()
  compiled_programs.mend()
  # A process that a shell starts in the background ignores SIGINT, and so do its children.
  signal.signal(signal.SIGINT, interrupts.interrupt)
  sweep = os.dup(1)  # stdout itself is lent to each job's log

  def send(message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the sweep is gone: stdin is about to close
      os.write(sweep, json.dumps(message, default=float).encode() + b"\n")

  try:
    for job in _jobs():
      outcome = run_job(job, report=lambda row: send({"progress": row}))
      send(outcome)
      if outcome["state"] == "stopped":
        return 130
  except KeyboardInterrupt:  # while waiting for a job
    return 130
  return 0


def _jobs() -> Iterator[dict[str, Any]]:
  """Yields jobs from stdin, read by a thread so that its end is noticed during a job, too."""
  lines: queue.SimpleQueue[str] = queue.SimpleQueue()
  is_busy = False

  def read() -> None:
    for line in sys.stdin:
      lines.put(line)
    lines.put("")
    if is_busy:
      _thread.interrupt_main()

  threading.Thread(target=read, daemon=True).start()
  while line := lines.get():
    is_busy = True
    yield json.loads(line)
    is_busy = False


def run_job(job: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, str]:
  """Runs the job; returns {"state": finished, stopped, diverged or failed, "reason"}."""
  if job["log"]:
    print_to(job["log"])

  def call() -> None:
    module, _, name = job["function"].partition(":")
    getattr(importlib.import_module(module), name)(report, **job["arguments"])

  return outcome_of(call)


def outcome_of(call: Callable[[], None]) -> dict[str, str]:
  """Calls it; returns how that ended, as `run_job` does. Prints errors."""
  try:
    call()
  except KeyboardInterrupt:
    return {"state": "stopped", "reason": ""}
  except (Diverged, UserError) as error:
    print(visible(f"error: {error}"), file=sys.stderr)
    return {
      "state": "diverged" if isinstance(error, Diverged) else "failed",
      "reason": str(error),
    }
  except Exception as error:  # the job's, whatever it is: the next job may do better
    if said := full_disk.said(error):
      print(visible(f"error: {said}"), file=sys.stderr)
      return {"state": "failed", "reason": said}
    traceback.print_exc()
    return {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
  return {"state": "finished", "reason": ""}


def print_to(path: str) -> None:
  """Sends stdout and stderr, those of C++ libraries too, to the end of the file."""
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  sys.stdout.flush()
  sys.stderr.flush()
  with open(path, "a") as log:
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)


if __name__ == "__main__":
  sys.exit(main())
