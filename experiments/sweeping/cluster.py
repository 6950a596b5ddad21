"""A sweep's jobs on a cluster, through submitit: SLURM, or its stand-ins on this machine.

`Cluster` does for them what workers.Pool does for worker processes. On SLURM jobs that are started
together are one array. A job that is preempted, or runs out of time, goes back into the queue and
resumes from its run's last checkpoint. submitit's files are in <sweep>/cluster/, what a job prints
is in its run's log.txt. If the sweep's own process is gone, SLURM's jobs go on, and the sweep typed
again joins them; ^C cancels them.
"""

import ast
import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.errors import UserError
from experiments.run_folder import file_name, read_json, read_text, write_atomically, write_json
from experiments.sweeping import worker
from experiments.sweeping.workers import Event, Job

LAUNCHERS = ("slurm", "submitit-local", "submitit-debug")
HOURS = 4  # for a job, unless --resources says timeout_min; then it is queued again and resumes
REQUEUES = 100  # each makes progress


class Submitted:
  """What the cluster runs: one job, called again with the same argument when it is requeued."""

  def __init__(self, progress: str):
    self._progress = progress  # a file: the sweep reads it now and then

  def __call__(self, job: dict[str, Any]) -> dict[str, str]:
    """Does the job; returns how it ended, as a worker process would say it."""
    latest: dict[str, Any] = {}

    def report(row: dict[str, Any]) -> None:
      latest.pop("doing", None)
      latest.update(row)
      write_atomically(self._progress, json.dumps(latest, default=float))

    return worker.run_job(job, report)

  def checkpoint(self, job: dict[str, Any]) -> Any:
    """submitit asks for what to queue again; the run's checkpoints are in its own folder."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(self, job)


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
    self._folder = os.path.join(folder, "cluster")
    self._size = size
    self._executor = _executor(launcher, self._kind, self._folder, size, resources)
    self._running: list[_Running] = []
    self._is_stopped = False

  def __enter__(self) -> "Cluster":
    return self

  def __exit__(self, *_: object) -> None:
    """Leaves the jobs alone: `stop` cancels them."""

  def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
    """Submits the jobs, or joins those that are in the cluster already; ends when all did."""
    waiting = list(jobs)
    while (waiting and not self._is_stopped) or self._running:
      room = len(waiting) if self._kind == "slurm" else self._size - len(self._running)
      if room > 0 and waiting and not self._is_stopped:
        self._submit(waiting[:room])
        waiting = waiting[room:]
      for running in list(self._running):
        yield from self._news(running)
      if self._running:
        time.sleep(2 if self._kind == "slurm" else 0.2)

  def stop(self) -> None:
    """Cancels all jobs."""
    self._is_stopped = True
    for running in self._running:
      running.handle.cancel(check=False)

  def _submit(self, jobs: Sequence[Job]) -> None:
    """One array of the jobs that are new. UserError if their runs are in others, from before."""
    record = os.path.join(self._folder, "jobs.json")
    known = read_json(record)
    runs = {job.name: [member.name for member in job.members or [job]] for job in jobs}
    wanted = {name for names in runs.values() for name in names}
    alive = {
      name: old["id"]
      for name, old in known.items()
      if wanted & set(old["runs"]) and self._is_alive(old["id"])
    }
    joined = {
      name: number for name, number in alive.items() if runs.get(name) == known[name]["runs"]
    }
    if others := [f"{number} ({name})" for name, number in alive.items() if name not in joined]:
      raise UserError(
        f"jobs of this sweep train these runs already: {', '.join(others)}. Wait for them, or "
        "scancel them, and type the command again"
      )
    handles: dict[str, Any] = {name: self._handle(number) for name, number in joined.items()}
    new = [job for job in jobs if job.name not in joined]
    with self._executor.batch() if new else contextlib.nullcontext():
      for job in new:
        with contextlib.suppress(FileNotFoundError):
          os.remove(self._progress(job))
        fields = {"function": job.function, "arguments": dict(job.arguments)}
        fields["log"] = "" if self._kind == "debug" else job.log
        handles[job.name] = self._executor.submit(Submitted(self._progress(job)), fields)
    self._running += [_Running(job, handles[job.name], self._progress(job)) for job in jobs]
    submitted = {name: {"id": handles[name].job_id, "runs": names} for name, names in runs.items()}
    write_json(record, known | submitted)

  def _progress(self, job: Job) -> str:
    return os.path.abspath(os.path.join(self._folder, "progress", f"{file_name(job.name)}.json"))

  def _is_alive(self, number: str) -> bool:
    """Whether SLURM has that job from before, waiting or running. Accounting may be off: squeue."""
    if self._kind != "slurm":
      return False
    done = subprocess.run(["squeue", "-h", "-j", number], capture_output=True, text=True)
    return done.returncode == 0 and bool(done.stdout.strip())

  def _handle(self, number: str) -> Any:
    from submitit import SlurmJob

    return SlurmJob(_submitit_folder(self._folder), number)

  def _news(self, running: _Running) -> Iterator[Event]:
    """What happened to the job since it was asked last."""
    text = read_text(running.progress)
    if not running.is_started and (text or self._kind != "slurm" or _runs(running.handle)):
      running.is_started = True
      yield Event(running.job, "started")
    is_done = running.handle.done()  # before the last look at its progress
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
    if has_result or self._kind == "slurm":  # its file may be late, on a file system of the network
      with contextlib.suppress(Exception):  # submitit's page of text
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
    executor.update_parameters(**parameters | _parsed(resources))
  except (NameError, AssertionError, ValueError) as error:
    reason = " ".join(str(error).split())
    raise UserError(f"--resources={resources}: {reason}") from None
  return executor


def _submitit_folder(folder: str) -> str:
  return os.path.join(os.path.abspath(folder), "%j")


def _parsed(resources: str) -> dict[str, Any]:
  """ "timeout_min=120,slurm_partition=gpu" -> {"timeout_min": 120, "slurm_partition": "gpu"}."""
  parsed: dict[str, Any] = {}
  for part in filter(None, resources.split(",")):
    name, equals, text = part.partition("=")
    if not equals:
      raise ValueError(f"{part!r} is not name=value")
    try:
      parsed[name.strip()] = ast.literal_eval(text)
    except (ValueError, SyntaxError):
      parsed[name.strip()] = text
  return parsed


def _runs(handle: Any) -> bool:
  return handle.state.upper() == "RUNNING"
