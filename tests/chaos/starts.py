"""Processes that are started, watched and hurt: by the real command, or forked from the zygote."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import IO, cast

PROJECT = pathlib.Path(__file__).parent.parent.parent
# Programs are compiled quickly rather than well, once, for all trials; nobody is asked for W&B.
PROGRAMS = PROJECT / ".pytest_cache" / "jax-chaos"
ENVIRONMENT = {
  "PYTHONPATH": str(PROJECT),
  "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
  "--xla_cpu_parallel_codegen_split_count=1",
  "JAX_COMPILATION_CACHE_DIR": str(PROGRAMS),
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  "COLUMNS": "200",
}


class Process:
  """One process, the leader of a group of its own. `code` is None while it runs."""

  def __init__(self, pid: int, words: list[str]):
    self.pid, self.words = pid, words
    self._ended = threading.Event()
    self._code: int | None = None

  @property
  def code(self) -> int | None:
    return self._code if self._ended.is_set() else None

  def end(self, code: int) -> None:
    """Notes that it has ended. Called by whoever is its parent."""
    self._code = code
    self._ended.set()

  def wait(self, seconds: float) -> bool:
    """Whether it ended within these seconds."""
    return self._ended.wait(seconds)

  def send(self, number: int, *, to_group: bool = False) -> None:
    """Sends it (or its process group) a signal, if it still runs."""
    if not self._ended.is_set():
      with contextlib.suppress(ProcessLookupError):
        os.killpg(self.pid, number) if to_group else os.kill(self.pid, number)

  def descendants(self) -> list[int]:
    """The process ids of all that it started, and they."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
      with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
        state, parent, *_ = file.read().rpartition(")")[2].split()
        if state != "Z":
          children.setdefault(int(parent), []).append(int(name))
    found, waiting = [], [self.pid]
    while waiting:
      waiting += (below := children.get(waiting.pop(), []))
      found += below
    return found


class Starter(contextlib.AbstractContextManager):
  """Starts commands; the zygote is started when it is first needed."""

  def __init__(self):
    self._lock, self._answered = threading.Lock(), threading.Condition()
    self._zygote: subprocess.Popen | None = None
    self._forked: dict[int, Process] = {}
    self._new: list[Process] = []
    self._started: list[Process] = []
    PROGRAMS.mkdir(parents=True, exist_ok=True)

  def __exit__(self, *_: object) -> None:
    """Ends whatever still runs: nothing does, unless the harness was interrupted."""
    for process in self._started:
      kill_all([] if process.code is not None else [*process.descendants(), process.pid])
    if self._zygote:
      cast(IO[bytes], self._zygote.stdin).close()
      self._zygote.wait()

  def start(
    self, words: list[str], folder: pathlib.Path, output: pathlib.Path, forked: bool, **more: str
  ) -> Process:
    """Types `python -m *words` in a folder; `more` is added to its environment."""
    process = (self._fork if forked else self._real)(words, folder, output, more)
    self._started.append(process)
    return process

  def _real(
    self, words: list[str], folder: pathlib.Path, output: pathlib.Path, more: dict[str, str]
  ) -> Process:
    with open(output, "ab") as file:
      started = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=_plain_environment() | more,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=file,
        start_new_session=True,
      )
    process = Process(started.pid, words)
    threading.Thread(target=lambda: process.end(started.wait()), daemon=True).start()
    return process

  def _fork(
    self, words: list[str], folder: pathlib.Path, output: pathlib.Path, more: dict[str, str]
  ) -> Process:
    request = {"words": words, "folder": str(folder), "output": str(output), "environment": more}
    with self._lock:  # one request at a time: the next pid is its
      if not self._zygote:
        self._zygote = subprocess.Popen(
          [sys.executable, "-m", "tests.chaos.zygote"],
          env=_plain_environment(),
          stdin=subprocess.PIPE,
          stdout=subprocess.PIPE,
        )
        answers = cast(IO[bytes], self._zygote.stdout)
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()
      requests = cast(IO[bytes], self._zygote.stdin)
      requests.write(json.dumps(request).encode() + b"\n")
      requests.flush()
      with self._answered:
        if not self._answered.wait_for(lambda: self._new, 300):
          raise RuntimeError("the zygote does not answer")
        process = self._new.pop()  # it may have ended by now
    process.words = words
    return process

  def _listen(self, answers: IO[bytes]) -> None:
    """Reads what the zygote answers."""
    for line in answers:
      answer = json.loads(line)
      with self._answered:
        if "code" in answer:
          self._forked.pop(answer["pid"]).end(answer["code"])
        else:
          self._forked[answer["pid"]] = Process(answer["pid"], [])
          self._new.append(self._forked[answer["pid"]])
        self._answered.notify_all()


def _plain_environment() -> dict[str, str]:
  """Of this process, less what pytest or a person may have set for jax and W&B."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "WANDB_"))}
  return kept | ENVIRONMENT


def until_gone(pids: list[int], seconds: float) -> list[int]:
  """Waits until these processes have ended; returns those that have not, in these seconds."""
  deadline = time.monotonic() + seconds
  while (left := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
    time.sleep(0.05)
  return left


def _runs(pid: int) -> bool:
  try:
    with open(f"/proc/{pid}/stat") as file:
      return file.read().rpartition(")")[2].split()[0] != "Z"
  except OSError:
    return False


def kill_all(pids: list[int]) -> None:
  for pid in pids:
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, signal.SIGKILL)
