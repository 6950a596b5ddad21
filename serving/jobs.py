"""The queue of fine-tuning jobs: one at a time is done, each in a process of its own (`work`).

queued -> running -> succeeded, failed or cancelled; paused by a client, and queued again when it is
resumed. A job that was running when the server was killed is queued again, in its old place.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from rounds.deployment import Deployment
from serving import job_request
from serving.errors import ApiError, conflict, no_room, not_found
from serving.state import State, is_full
from training.records import compiled_programs
from training.records.files import read_json, write_json

WAITING = ("queued", "running", "paused")
MOST_WAITING = 32
PAUSE = 5.0  # seconds after a job that could not be started
LONGEST_END = 30.0  # seconds in which a job that is stopped may end by itself


class Jobs:
  """The jobs of a deployment. `start` begins to do them."""

  def __init__(self, deployment: Deployment, state: State, root: str):
    self._deployment, self._state, self._root = deployment, state, root
    self._process: subprocess.Popen | None = None
    self._doing, self._wanted = "", ""  # the running job, and what it is to become: "cancelled", …
    self._changed = threading.Condition()
    for job in state.jobs("running"):
      state.change_job(job["id"], "The server was stopped: the job goes on.", status="queued")
    self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

  def start(self) -> None:
    self._thread.start()

  def add(self, about: Mapping[str, Any], said: str, key: str | None = None) -> dict[str, Any]:
    """Queues a job; of a key that came before, returns the job that it made."""
    if len(self._state.jobs(*WAITING)) >= MOST_WAITING:
      message = f"{MOST_WAITING} jobs wait or are paused already: cancel some, or ask again later."
      raise ApiError(429, message, code="queue_full")
    job_id = f"ftjob-{secrets.token_hex(8)}"
    now = time.time()
    events = [{"time": now, "level": "info", "message": said}]
    job = {"id": job_id, "created": now, "status": "queued", "events": events, "about": about}
    try:
      write_json(os.path.join(self.home(job_id), "job.json"), about)
      kept = self._state.add_job(job, key)
    except Exception as error:
      shutil.rmtree(self.home(job_id), ignore_errors=True)
      if is_full(error):
        raise no_room("this job is not kept") from None
      raise
    if kept["id"] != job_id:
      shutil.rmtree(self.home(job_id))
    with self._changed:
      self._changed.notify()
    return kept

  def get(self, job_id: str) -> dict[str, Any]:
    job = self._state.job(job_id)
    if job is None:
      raise not_found("fine_tuning_job", job_id, "fine_tuning_job_id")
    return job

  def home(self, job_id: str) -> str:
    return os.path.join(self._deployment.path, "jobs", job_id)

  def run_of(self, job: Mapping[str, Any]) -> str:
    """The folder of a job's run, which is called like its model."""
    return os.path.join(self.home(job["id"]), job_request.model_of(job["id"], job["about"]))

  def models(self) -> dict[str, str]:
    """The name of each finished job's policy -> its run's folder."""
    done = [job for job in self._state.jobs("succeeded") if job["about"]["method"] != "round"]
    return {job_request.model_of(job["id"], job["about"]): self.run_of(job) for job in done}

  def cancel(self, job_id: str) -> dict[str, Any]:
    return self._stop(job_id, "cancelled", ("queued", "running", "paused"))

  def pause(self, job_id: str) -> dict[str, Any]:
    return self._stop(job_id, "paused", ("queued", "running"))

  def resume(self, job_id: str) -> dict[str, Any]:
    """Queues a paused job again."""
    with self._changed:
      _expect(self.get(job_id), ("paused",), "resumed")
      self._state.change_job(job_id, "Resumed.", status="queued")
      self._changed.notify()
    return self.get(job_id)

  def _stop(self, job_id: str, status: str, those: tuple[str, ...]) -> dict[str, Any]:
    with self._changed:
      _expect(self.get(job_id), those, status)
      process = self._process if self._doing == job_id else None
      if process:
        self._wanted = status
      else:
        self._ended(job_id, status, f"The job is {status}.")
    if process:
      _end(process)
      with self._changed:
        self._changed.wait_for(lambda: self._doing != job_id, LONGEST_END)
    return self.get(job_id)

  def _work(self) -> None:
    while True:
      with self._changed:
        while not (queued := self._state.jobs("queued")):
          self._changed.wait()
        job_id = queued[0]["id"]
        try:
          self._begin(job_id)
        except Exception as error:  # the queue must live on, whatever it is
          with _living_on():
            if not is_full(error):  # room may come: it stays in the queue
              said = f"It could not be started: {error}"
              self._ended(job_id, "failed", said, code="not_started")
          self._changed.wait(PAUSE)
          continue
        process = self._process
      assert process
      code = process.wait()
      with self._changed:
        self._process, self._doing = None, ""
        with _living_on():
          self._record(job_id, code)
        self._changed.notify_all()

  def _begin(self, job_id: str) -> None:
    with open(os.path.join(self.home(job_id), "log.txt"), "ab") as log:
      self._state.change_job(job_id, "The job is running.", status="running")
      self._process = subprocess.Popen(
        [sys.executable, "-m", "serving.work", self._deployment.path, job_id, self._root],
        env=compiled_programs.kept_below(self._root) | os.environ,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # the terminal's ^C reaches only the server
      )
    self._doing, self._wanted = job_id, ""

  def _record(self, job_id: str, code: int) -> None:
    """Writes down how a job's process ended."""
    outcome = read_json(os.path.join(self.home(job_id), "outcome.json"))
    if outcome:
      level = "error" if outcome["state"] == "failed" else "info"
      said = outcome["reason"] or "The job is done."
      self._ended(job_id, outcome["state"], said, level, outcome.get("code", ""))
    elif self._wanted:
      self._ended(job_id, self._wanted, f"The job is {self._wanted}.")
    else:
      said = f"Its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}: "
      said += f"see {os.path.join(self.home(job_id), 'log.txt')}"
      self._ended(job_id, "failed", said, "error", "process_ended")

  def _ended(
    self, job_id: str, status: str, said: str, level: str = "info", code: str = ""
  ) -> None:
    fields: dict[str, Any] = {"status": status}
    if status != "paused":
      fields["finished"] = time.time()
    if status == "failed":
      fields["error"] = {"code": code, "message": said, "param": None}
    self._state.change_job(job_id, said, level, **fields)


def _expect(job: Mapping[str, Any], those: tuple[str, ...], word: str) -> None:
  if job["status"] not in those:
    raise conflict(f"{job['id']} is {job['status']}: it cannot be {word}.", "invalid_job_state")


def _end(process: subprocess.Popen) -> None:
  """Interrupts a job's process, and kills it if it does not end."""
  with contextlib.suppress(ProcessLookupError):
    process.send_signal(signal.SIGINT)
  kill = threading.Timer(LONGEST_END / 2, _kill, [process])
  kill.daemon = True
  kill.start()


def _kill(process: subprocess.Popen) -> None:
  if process.poll() is None:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _living_on():
  """Keeps the queue's thread alive where the disk is too full to say how a job ended.

  The job stays running in the file, and is queued again when the server starts.
  """
  try:
    yield
  except Exception as error:
    print(f"jobs: {error}", file=sys.stderr, flush=True)
