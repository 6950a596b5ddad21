"""Worker processes (worker.py) that score responses: one at a time each, in limited time.

Code that hangs can be stopped in a process of its own only. The processes know nothing of jax; they
are started when there is something to score, and one that hangs or dies is replaced when needed.
"""

import collections
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

from tasks.rewards.function import Outcome
from tasks.spelling import Term

START_SECONDS = 120.0  # a module of one's own may import torch first
LONGEST = 1 << 20  # bytes of an answer
MOST = 16  # processes: each imports what its rewards do

KILLED: Outcome = (math.nan, "ended its process (killed)")
LOST_STARTS = 3  # processes in a row that somebody kills before they have begun

Job = tuple[int, Mapping[str, Any]]  # the number of a term, and what there is to know of a response


class Workers:
  """As many processes as processors, at most, for the rewards of these terms."""

  def __init__(self, terms: Sequence[Term], seconds: float):
    """`seconds`: the time limit for one response, by one reward."""
    processors = (
      len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    self._terms, self._seconds, self._size = list(terms), seconds, min(processors or 1, MOST)
    self._workers: list[_Worker] = []
    self._lost = 0  # that were killed while they were starting, since one has started
    weakref.finalize(self, _kill_all, self._workers)  # also when the interpreter ends

  def open(self) -> None:
    """Starts one and waits for it. ValueError when it cannot have its functions."""
    self._hire(1)
    while not self._workers or self._workers[0].is_starting:
      self._hire(1)
      list(self._hear())

  def score(self, jobs: Sequence[Job]) -> list[Outcome]:
    """The outcome of each job, in their order.

    It does not depend on which process takes which; only what is cut off at the time limit depends
    on the machine. A job whose process somebody killed is given to another, once. ValueError when
    no process can have its functions.
    """
    outcomes: list[Outcome] = [(math.nan, "")] * len(jobs)
    waiting = collections.deque(range(len(jobs)))
    again: set[int] = set()
    self._forget_jobs()
    while waiting or any(worker.job is not None for worker in self._workers):
      self._hire(len(waiting))
      for worker in self._workers:
        if waiting and worker.is_idle:
          job = waiting.popleft()
          worker.give(job, jobs[job])
      for job, outcome in self._hear():
        if outcome is KILLED and job not in again:
          again.add(job)
          waiting.appendleft(job)
        else:
          outcomes[job] = outcome
    return outcomes

  def _forget_jobs(self) -> None:
    """Ends those at jobs of a call that was interrupted: their answers are not for the next."""
    for worker in self._workers:
      if worker.job is not None:
        worker.kill()
    self._workers[:] = [worker for worker in self._workers if not worker.is_dead]

  def _hire(self, wanted: int) -> None:
    """Starts processes until so many are free or on their way, if there may be as many."""
    free = sum(worker.job is None for worker in self._workers)
    for _ in range(min(wanted - free, self._size - len(self._workers))):
      self._workers.append(_Worker(self._terms, self._seconds))

  def _hear(self) -> Iterator[tuple[int, Outcome]]:
    """Waits for a message, an end or a time limit; what came out of jobs."""
    busy = [worker for worker in self._workers if not worker.is_idle]
    soonest = min(worker.deadline for worker in busy)
    left = max(0.0, soonest - time.monotonic())
    heard = wait([worker.connection for worker in busy], left)
    try:
      for worker in busy:
        job, outcome = worker.job, worker.hear(worker.connection in heard)
        if job is not None and outcome is not None:
          yield job, outcome
        self._count_lost(worker)
    finally:
      self._workers[:] = [worker for worker in self._workers if not worker.is_dead]

  def _count_lost(self, worker: "_Worker") -> None:
    """ValueError when each process is killed before it has begun."""
    if not worker.is_starting:
      self._lost = 0
    elif worker.is_dead:
      self._lost += 1
      if self._lost == LOST_STARTS:
        raise ValueError(f"{LOST_STARTS} processes to score with were killed as they started")


class _Worker:
  """One process. It is starting, then idle or at a job, and at last dead."""

  def __init__(self, terms: Sequence[Term], seconds: float):
    self.is_starting, self.is_dead = True, False
    self.job: int | None = None
    self.deadline = time.monotonic() + START_SECONDS
    self._names, self._seconds = ", ".join(term.name for term in terms), seconds
    self._takes: list[list[str]] = []
    self._asked = 0  # jobs so far
    self.connection, theirs = Pipe()
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    self._process = subprocess.Popen(
      [sys.executable, "-m", "tasks.rewards.worker", str(theirs.fileno())],
      env=os.environ | {"PYTHONPATH": path},
      stdin=subprocess.DEVNULL,
      pass_fds=[theirs.fileno()],
      start_new_session=True,  # the terminal's ^C is not for it; what it starts dies with it
    )
    theirs.close()
    self.connection.send((terms, seconds))

  @property
  def is_idle(self) -> bool:
    return not self.is_starting and self.job is None

  def give(self, number: int, job: Job) -> None:
    """Sends an idle one a job, which has this number."""
    term, response = job
    self.job, self.deadline = number, time.monotonic() + self._seconds
    with contextlib.suppress(OSError):  # it just died, as `hear` will tell
      self._asked += 1
      taken = {name: response[name] for name in self._takes[term]}
      self.connection.send((self._asked, term, taken))

  def hear(self, has_news: bool) -> Outcome | None:
    """The outcome of its job; None when there is none yet, or only that it has started."""
    try:
      if has_news:
        return self._take(self.connection.recv_bytes(LONGEST))
    except (EOFError, OSError):
      code = self._own_end(1.0)
      self.kill()
      if code is None:
        return self._failed("closed its connection, or answered with too much")
      if code == -signal.SIGKILL:  # by a person, or for want of memory; not by what it scored
        return None if self.is_starting else KILLED
      return self._failed(f"ended its process (exit code {code})")
    if time.monotonic() < self.deadline:
      return None
    self.kill()
    limit = START_SECONDS if self.is_starting else self._seconds
    return self._failed(f"took longer than {limit:g} s")

  def _take(self, answer: bytes) -> Outcome | None:
    try:
      message = json.loads(answer)
    except ValueError:
      message = None
    match message:
      case [str(problem), list(takes)] if self.is_starting:
        if problem:
          self.kill()
          raise ValueError(problem)
        self._takes, self.is_starting = takes, False
        return None
      case [int(process), int(number), [float() | int() as value, str(fault)]] if (
        process == self._process.pid and number == self._asked
      ):
        self.job = None
        return float(value), fault
    self.kill()
    return self._failed("left a process behind that answered for it")

  def _failed(self, fault: str) -> Outcome:
    if self.is_starting:
      raise ValueError(f"the process to score with {self._names} {fault} while it was starting")
    return math.nan, fault

  def _own_end(self, patience: float) -> int | None:
    """The exit code, if it ends by itself within these seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
      return self._process.wait(patience)

  def kill(self) -> None:
    """Ends it, and the processes that it started."""
    self.is_dead = True
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)
    self.connection.close()
    self._process.wait()


def _kill_all(workers: list[_Worker]) -> None:
  for worker in workers:
    worker.kill()
  workers.clear()
