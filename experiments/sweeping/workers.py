"""A pool of worker processes (experiments.sweeping.worker): each runs one job after another.

A job that raises fails alone. A worker that dies (a crash in C++) fails its job and is replaced.
One that was killed (by somebody, or for want of memory) is replaced, its job started once more.
Workers live in sessions of their own, so the terminal's ^C reaches only the sweep, which decides
what it means: `Pool.stop`.
"""

import collections
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast

from training.records.environment import nvidia_gpus


@dataclasses.dataclass(frozen=True)
class Job:
  """One call of `function` ("module:function") with a callback and `arguments` (JSON values)."""

  name: str
  function: str
  arguments: Mapping[str, Any]
  log: str  # the file to which all of its output is added
  members: "Sequence[Job]" = ()  # the runs of a program that trains several


@dataclasses.dataclass(frozen=True)
class Event:
  """`kind` is started, progress, finished, stopped, diverged or failed."""

  job: Job
  kind: str
  progress: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what the job reported
  reason: str = ""  # why it failed


class Pool:
  """At most `size` worker processes, started when they are needed; use it in a `with`."""

  def __init__(self, size: int, environment: Mapping[str, str]):
    self._size = size
    self._environment = environment
    self._workers: dict[int, _Worker] = {}  # by slot: a slot is a share of the machine's cores
    self._messages: queue.SimpleQueue[tuple[_Worker, str]] = queue.SimpleQueue()
    self._waiting: collections.deque[Job] = collections.deque()
    self._again: list[Job] = []  # whose worker was killed
    self._stops = 0

  def __enter__(self) -> "Pool":
    return self

  def __exit__(self, *_: object) -> None:
    for worker in self._workers.values():
      worker.close()

  def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
    """Runs the jobs in order, up to `size` at a time; ends when all did, or soon after `stop`."""
    self._waiting = collections.deque(jobs)
    while True:
      while self._waiting and not self._stops and (worker := self._idle_worker()):
        job = self._waiting.popleft()
        worker.start(job)
        yield Event(job, "started")
      if not any(worker.job for worker in self._workers.values()):
        return
      yield from self._handle(*self._messages.get())

  def add(self, job: Job) -> None:
    """One more job for the `run` that just told of an event: it follows those that wait."""
    self._waiting.append(job)

  def stop(self) -> None:
    """Interrupts the jobs and starts no more; called again, kills the workers."""
    self._stops += 1
    for worker in list(self._workers.values()):
      worker.interrupt() if self._stops == 1 else worker.kill()

  def _idle_worker(self) -> "_Worker | None":
    for worker in self._workers.values():
      if not worker.job:
        return worker
    for slot in range(self._size):
      if slot not in self._workers:
        environment = dict(self._environment) | self._gpu(slot)
        self._workers[slot] = _Worker(environment, self._cores(slot), self._messages)
        return self._workers[slot]
    return None

  def _cores(self, slot: int) -> set[int]:
    """The slot's share of the cores: XLA's threads would fight over them otherwise."""
    if self._size == 1 or not hasattr(os, "sched_getaffinity"):
      return set()
    return set(sorted(os.sched_getaffinity(0))[slot :: self._size])

  def _gpu(self, slot: int) -> dict[str, str]:
    """Gives the slot its share of several GPUs, or one in turn; a single job has them all."""
    gpus = nvidia_gpus()
    if self._size == 1 or len(gpus) < 2:
      return {}
    share = gpus[slot :: self._size] or [gpus[slot % len(gpus)]]
    return {"CUDA_VISIBLE_DEVICES": ",".join(share)}

  def _handle(self, worker: "_Worker", line: str) -> Iterator[Event]:
    message, job = json.loads(line or "{}"), worker.job
    if "progress" in message and job:
      yield Event(job, "progress", progress=message["progress"])
    elif "state" in message and job:
      worker.job = None
      if message["state"] == "stopped":
        self._forget(worker)  # it is about to end
      yield Event(job, message["state"], reason=message["reason"])
    elif not line:
      self._forget(worker)
      if job and worker.was_killed() and not self._stops and job not in self._again:
        self._again.append(job)
        self._waiting.appendleft(job)
      elif job:  # it ended in the middle of a job
        kind = "stopped" if self._stops else "failed"
        yield Event(job, kind, reason=worker.reason_of_death())

  def _forget(self, worker: "_Worker") -> None:
    self._workers = {slot: other for slot, other in self._workers.items() if other != worker}


class _Worker:
  """One process, and a thread that passes on the lines it writes; "" is its end."""

  def __init__(
    self,
    environment: Mapping[str, str],
    cores: set[int],
    messages: "queue.SimpleQueue[tuple[_Worker, str]]",
  ):
    self.job: Job | None = None
    self._process = subprocess.Popen(
      [sys.executable, "-m", "experiments.sweeping.worker"],
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )
    self._stdin = cast(IO[str], self._process.stdin)
    stdout = cast(IO[str], self._process.stdout)
    if cores:
      os.sched_setaffinity(self._process.pid, cores)

    def listen() -> None:
      for line in stdout:
        messages.put((self, line))
      messages.put((self, ""))

    threading.Thread(target=listen, daemon=True).start()

  def start(self, job: Job) -> None:
    self.job = job
    fields = {
      "function": job.function,
      "arguments": dict(job.arguments),
      "log": job.log,
    }
    with contextlib.suppress(BrokenPipeError):  # it just died: the message of its end is coming
      self._stdin.write(json.dumps(fields) + "\n")
      self._stdin.flush()

  def interrupt(self) -> None:
    self._process.send_signal(signal.SIGINT)

  def kill(self) -> None:
    """Kills the whole session: a worker has children, such as W&B's service."""
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)

  def close(self) -> None:
    """Lets an idle worker end; a busy one stops its job."""
    with contextlib.suppress(BrokenPipeError):
      self._stdin.close()

  def was_killed(self) -> bool:
    return self._process.wait() == -signal.SIGKILL

  def reason_of_death(self) -> str:
    code = self._process.wait()
    if self.was_killed():
      return "its process was killed; out of memory?"
    return f"its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
