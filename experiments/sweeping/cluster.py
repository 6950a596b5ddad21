"""A sweep's jobs on a cluster, through submitit: SLURM, or its stand-ins on this machine.

`Cluster` does for them what workers.Pool does for worker processes. On SLURM, jobs that are started
together are one array. A job that is preempted, or runs out of time, goes back into the queue and
resumes from its run's last checkpoint. submitit's files are in <sweep>/cluster/, a job's output is
in its run's log.txt. If the sweep's own process dies, SLURM's jobs go on, and the same command
joins them; ^C cancels them.

Each array has a unique name, which is written to <sweep>/cluster/jobs.json, with the runs of its
jobs, before sbatch is called. So squeue, asked for these names, always tells which runs are being
trained, even if the sweep was killed.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from configs import config_values
from experiments.sweeping import jobs as sweep_jobs
from experiments.sweeping import worker
from experiments.sweeping.workers import Event, Job
from training import interrupts
from training.errors import UserError
from training.records import compiled_programs
from training.records.files import read_json, read_text, write_atomically, write_json

LAUNCHERS = ("slurm", "submitit-local", "submitit-debug")
HOURS = 4  # for a job, unless --resources says timeout_min; then it is queued again and resumes
REQUEUES = 100  # each makes progress


class Submitted:
  """One job as the cluster runs it; it is called again with the same argument when requeued."""

  def __init__(self, progress: str):
    self._progress = progress  # a file: the sweep reads it now and then

  def __call__(self, job: dict[str, Any]) -> dict[str, str]:
    """Does the job; returns how it ended, as `worker.run_job` does."""
    interrupts.repeat_lost()
    compiled_programs.mend()
    latest: dict[str, Any] = {}

    def report(row: dict[str, Any]) -> None:
      latest.pop("doing", None)
      latest.update(row)
      write_atomically(self._progress, json.dumps(latest, default=float))

    return worker.run_job(job, report)

  def checkpoint(self, job: dict[str, Any]) -> Any:
    """Tells submitit what to queue again; the run's checkpoints are in its own folder."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(self, job)


@dataclasses.dataclass(frozen=True)
class Live:
  """A job that SLURM has, waiting or running: number `index` of the array named `array`."""

  number: str
  array: str
  index: int
  runs: tuple[str, ...]
  is_program: bool  # of several runs, though all but one may rest


def live_runs(folder: str) -> dict[str, Live]:
  """Returns the runs, by name, that SLURM's jobs of this sweep train. UserError: squeue fails."""
  arrays = read_json(os.path.join(folder, "cluster", "jobs.json"))
  if not arrays:
    return {}
  # By name: squeue fails at numbers that it does not know. sacct would need accounting to be on.
  command = ["squeue", "-h", "-r", "-o", "%j %i", f"--name={','.join(arrays)}"]
  try:
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
  except (OSError, subprocess.CalledProcessError) as error:
    reason = " ".join((getattr(error, "stderr", "") or str(error)).split())
    raise UserError(
      f"squeue does not tell which jobs of {folder} are there: {reason}\n"
      "type the command again when it does: a run must not be trained twice at a time"
    ) from None
  found = {}
  for line in answer.splitlines():
    array, number = line.split()
    index = int(number.partition("_")[2] or 0)
    about = arrays[array][index]
    job = Live(number, array, index, tuple(about["runs"]), about["is_program"])
    found |= dict.fromkeys(job.runs, job)
  return found


@dataclasses.dataclass
class _Running:
  job: Job
  handle: Any  # submitit's
  progress: str  # the file that it reports to
  is_started: bool = False
  last: str = ""  # the report that was passed on


class Cluster:
  """Runs jobs as workers.Pool does; use it in a `with`.

  Args:
    launcher: of LAUNCHERS. submitit-local starts processes here, submitit-debug calls the jobs in
      this process, one after another.
    folder: the sweep's.
    size: at most so many jobs at a time; on SLURM 1 means no limit.
    resources: submitit's parameters, "timeout_min=120,gpus_per_node=1,slurm_partition=gpu".
  Raises:
    UserError: no submitit, no SLURM, or parameters that it does not have.
  """

  def __init__(self, launcher: str, folder: str, size: int, resources: str):
    self._kind = launcher.removeprefix("submitit-")
    self._sweep = folder
    self._folder = os.path.join(folder, "cluster")
    self._size = size
    self._executor = _executor(launcher, self._kind, self._folder, size, resources)
    self._waiting: list[Job] = []
    self._running: list[_Running] = []
    self._is_stopped = False

  def __enter__(self) -> "Cluster":
    return self

  def __exit__(self, *_: object) -> None:
    """Leaves the jobs alone: `stop` cancels them."""

  def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
    """Submits the jobs, or joins those that are in the cluster already; ends when all did."""
    self._waiting = self._join(jobs) if self._kind == "slurm" else list(jobs)
    if self._is_stopped:  # stopped before it knew of these jobs
      self.stop()
    while (self._waiting and not self._is_stopped) or self._running:
      room = len(self._waiting) if self._kind == "slurm" else self._size - len(self._running)
      if room > 0 and self._waiting and not self._is_stopped:
        taken, self._waiting = self._waiting[:room], self._waiting[room:]
        self._submit(taken)
        if self._is_stopped:  # stopped meanwhile
          self.stop()
      for running in list(self._running):
        yield from self._news(running)
      if self._running:
        time.sleep(2 if self._kind == "slurm" else 0.2)

  def add(self, job: Job) -> None:
    """One more job for the `run` that just told of an event: it follows those that wait."""
    self._waiting.append(job)

  def stop(self) -> None:
    """Cancels all jobs."""
    self._is_stopped = True
    for running in self._running:
      running.handle.cancel(check=False)

  def _join(self, jobs: Sequence[Job]) -> list[Job]:
    """Takes over the jobs that SLURM still has; returns those that are left to submit."""
    live = live_runs(self._sweep)
    left: list[Job] = []
    joined: dict[Live, list[Job]] = {}
    for job in jobs:
      members = job.members or [job]
      rest = [member for member in members if member.name not in live]
      if len(rest) == len(members):
        left.append(job)
      elif rest:
        left.append(sweep_jobs.without(job, live.keys()))
      for member in members:
        if member.name in live:
          joined.setdefault(live[member.name], []).append(member)
    for old, members in joined.items():
      job = members[0]
      if old.is_program:  # its reports are by member, even if all but one have ended
        job = Job(job.name, job.function, {}, job.log, tuple(members))
      handle = _handle(self._folder, old.number)
      self._running.append(_Running(job, handle, self._progress(old.array, old.index)))
    return left

  def _submit(self, jobs: Sequence[Job]) -> None:
    """Submits the jobs as one array."""
    array = f"counterpoint-{uuid.uuid4().hex[:12]}"
    if self._kind == "slurm":
      self._executor.update_parameters(slurm_job_name=array)
      record = os.path.join(self._folder, "jobs.json")
      about = [
        {"runs": [m.name for m in job.members or [job]], "is_program": bool(job.members)}
        for job in jobs
      ]
      write_json(record, read_json(record) | {array: about})
    files = [self._progress(array, index) for index in range(len(jobs))]
    handles = []
    try:
      with self._executor.batch():
        for job, progress in zip(jobs, files, strict=True):
          fields = {"function": job.function, "arguments": dict(job.arguments)}
          fields["log"] = "" if self._kind == "debug" else job.log
          handles.append(self._executor.submit(Submitted(progress), fields))
    except RuntimeError as error:  # sbatch's
      if not self._is_stopped:
        raise UserError(f"SLURM took no jobs: {' '.join(str(error).split())}") from None
      subprocess.run(["scancel", f"--name={array}"])  # ^C went to sbatch, too, early or late
      return
    self._running += map(_Running, jobs, handles, files)

  def _progress(self, array: str, index: int) -> str:
    return os.path.abspath(os.path.join(self._folder, "progress", f"{array}-{index}.json"))

  def _news(self, running: _Running) -> Iterator[Event]:
    """Yields what has happened to the job since the last time."""
    text = read_text(running.progress)
    if not running.is_started and (text or self._kind != "slurm" or _runs(running.handle)):
      running.is_started = True
      yield Event(running.job, "started")
    is_done = running.handle.done()  # asked before its progress is read for the last time
    text = read_text(running.progress)
    if text != running.last:
      running.last = text
      yield Event(running.job, "progress", progress=json.loads(text))
    if is_done:
      self._running.remove(running)
      outcome = self._outcome(running.handle)
      yield Event(running.job, outcome["state"], reason=outcome["reason"])

  def _outcome(self, handle: Any) -> dict[str, str]:
    has_result = self._kind == "debug" or handle.paths.result_pickle.exists()
    if self._is_stopped and not has_result:
      return {"state": "stopped", "reason": "cancelled"}
    if has_result or self._kind == "slurm":  # on a network's file system the file may be late
      with contextlib.suppress(Exception):  # submitit's message is a page long
        return handle.result()
    state, log = handle.state.lower(), os.path.relpath(handle.paths.stderr)
    reason = f"its job {handle.job_id} ended without a result ({state}); see {log}"
    return {"state": "failed", "reason": reason}


def _executor(launcher: str, kind: str, folder: str, size: int, resources: str) -> Any:
  if importlib.util.find_spec("submitit") is None:
    raise UserError(f'--launcher={launcher} needs submitit: pip install -e ".[cluster]"')
  import submitit

  parameters: dict[str, Any] = {"timeout_min": HOURS * 60, "name": "counterpoint"}
  if kind == "slurm" and size > 1:
    parameters["slurm_array_parallelism"] = size
  try:
    limits = {} if kind == "debug" else {f"{kind}_max_num_timeout": REQUEUES}
    executor = submitit.AutoExecutor(_submitit_folder(folder), cluster=kind, **limits)
  except RuntimeError as error:
    raise UserError(f"--launcher={launcher}: {error}") from None
  try:
    executor.update_parameters(**parameters | config_values.options(resources))
  except (NameError, AssertionError, ValueError) as error:
    reason = " ".join(str(error).split())
    raise UserError(f"--resources={resources}: {reason}") from None
  return executor


def _handle(folder: str, number: str) -> Any:
  """Returns submitit's handle of a job that another process submitted."""
  from submitit import SlurmJob

  return SlurmJob(_submitit_folder(folder), number)


def _submitit_folder(folder: str) -> str:
  return os.path.join(os.path.abspath(folder), "%j")


def _runs(handle: Any) -> bool:
  return handle.state.upper() == "RUNNING"
