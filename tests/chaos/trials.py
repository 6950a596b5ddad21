"""One trial: a work is started, hurt, and typed again until it ends; then the verdict."""

import contextlib
import dataclasses
import os
import pathlib
import random
import re
import shutil
import signal
import time
from collections.abc import Iterable, Iterator

from tests.chaos import left_behind
from tests.chaos.starts import Process, Starter, kill_all, until_gone
from tests.chaos.works import Work

PATIENCE = 600.0  # seconds for a start that nobody disturbs
STOPS_IN = 90.0  # seconds for a process that was told to stop
SAME, SAID, UNREAD, WRONG = "same", "said", "unread", "WRONG"
REAL = 0.05  # share of the starts that are the real command, where the others are forked


@dataclasses.dataclass(frozen=True)
class Whole:
  """A work that was left alone: what it left, and how it came to be."""

  left: dict[str, object]
  folders: tuple[str, ...]  # that it wrote in
  changes: int  # of those folders, as `Watch` counts them
  seconds: float
  size: int  # bytes


@dataclasses.dataclass
class Verdict:
  """`injected` is how often it was hurt; `lines` say what it said, or what differs."""

  work: str
  fault: str
  seed: int
  injected: int
  verdict: str
  lines: list[str]
  seconds: float
  starts: int


class Trial:
  """A work in a folder of its own. `random` makes all choices of the trial."""

  def __init__(self, work: Work, fault: str, seed: int, folder: pathlib.Path, starter: Starter):
    self.work, self.fault, self.seed, self.folder = work, fault, seed, folder
    self.random = random.Random(f"{work.name} {fault} {seed}")
    self.injected = 0
    self.hurt: dict[pathlib.Path, bytes | None] = {}  # the damaged files, as they are then
    self.notes: list[str] = []  # what was done to it
    self.wrong: list[str] = []
    self.more: list[str] = []  # words that an error told us to type
    self.environment: dict[str, str] = {}
    self.starts = 0
    self.is_last = False  # nobody hurts it any more
    self._starter = starter

  @property
  def runs(self) -> pathlib.Path:
    return self.folder / "runs"

  @property
  def log(self) -> pathlib.Path:
    """The output of the latest start."""
    return self.folder.parent / f"{self.folder.name}-{self.starts:02d}.txt"

  def start(self) -> list[Process]:
    """Types the command, on each of its machines."""
    self.starts += 1
    forked = not self.work.is_slow and self.random.random() > REAL
    return [
      self._starter.start([*words, *self.more], self.folder, self.log, forked, **self.environment)
      for words in self.work.commands()
    ]

  def then(self, *words: str) -> int | None:
    """Types another command, when the work has ended; returns its exit code."""
    process = self._starter.start([*words], self.folder, self.log, forked=False)
    self.let_end([process])
    return process.code

  def let_end(self, processes: list[Process], seconds: float = PATIENCE) -> None:
    """Waits for them; one that does not end is wrong, and killed."""
    deadline = time.monotonic() + seconds
    for process in processes:
      if not process.wait(max(0.0, deadline - time.monotonic())):
        self.wrong.append(f"start {self.starts} did not end within {seconds:.0f} s")
        self.end(processes)
    output = self.output()
    # One of several that train together is ended by jax, in its own way, when another has died.
    if "Traceback (most recent" in output and (self.work.processes == 1 or self.is_last):
      self.wrong.append(f"start {self.starts}: a traceback, {_last_line(output)}")

  def end(self, processes: list[Process]) -> None:
    """Kills them, and waits until all that they started has ended by itself."""
    below = [pid for process in processes for pid in process.descendants()]
    for process in processes:
      process.send(signal.SIGKILL)
    for process in processes:
      process.wait(STOPS_IN)
    self.see_ended(below)

  def see_ended(self, pids: list[int]) -> None:
    if left := until_gone(pids, STOPS_IN):
      self.wrong.append(f"processes outlived the command for {STOPS_IN:.0f} s: {len(left)}")
      kill_all(left)

  def output(self) -> str:
    return self.log.read_text(errors="replace") if self.log.exists() else ""

  def finish(self) -> None:
    """Types the command until it ends well, or will not go on whatever one types."""
    self.is_last = True
    for _ in range(12):
      processes = self.start()
      self.let_end(processes)
      codes = {process.code for process in processes}
      if codes == {0} or self.wrong:
        return
      output = self.output()
      if "another process" in output or "already running" in output:
        time.sleep(1)  # of the life before
      elif not self._follow(output):
        self.wrong.append(f"ends with {sorted(map(str, codes))}: {_last_line(output)}")
        return
    self.wrong.append(f"does not end well: {_last_line(self.output())}")

  def _follow(self, output: str) -> bool:
    """Does what the error says; returns whether it said anything."""
    if removed := re.search(r"rm -r (\S+)", output):
      shutil.rmtree(self.folder / removed[1])
    elif moved := re.search(r"(\S+) is damaged.*move it away", output, re.S):
      os.replace(self.folder / moved[1], self.folder / f"{moved[1]}.broken")
    elif asked := re.search(r"(--(?:retry|from_earlier))\b", output):
      if asked[1] in self.more:
        return False
      self.more.append(asked[1])
    else:
      return False
    return True

  def judge(self, whole: Whole, began: float) -> Verdict:
    """Compares what is left with what a work left alone leaves."""
    lines, unread = self._said(self.hurt), []
    verdict = SAID if lines else SAME
    if not self.wrong:
      try:
        left = left_behind.read(self.runs)
      except Exception as error:  # a checkpoint that cannot be read
        self.wrong.append(f"what is left cannot be read: {type(error).__name__}: {error}"[:300])
      else:
        said = {key: found or b"" for key, path, found in self._hurt() if self._said([path])}
        untouched = {
          key for key, path, found in self._hurt() if _is_untouched(left.get(key), path, found)
        }
        for path, line in left_behind.differences(whole.left, left, said):
          (unread if path in untouched else self.wrong).append(line)
    if self.wrong:
      verdict, lines = WRONG, [*self.wrong[:8], *self.notes]
    elif unread and not lines:
      verdict, lines = UNREAD, [*unread, *self.notes]
    facts = {"injected": self.injected, "starts": self.starts, "lines": lines}
    seconds = round(time.monotonic() - began, 1)
    return Verdict(self.work.name, self.fault, self.seed, verdict=verdict, seconds=seconds, **facts)

  def _hurt(self) -> list[tuple[str, pathlib.Path, bytes | None]]:
    """Under which name each file that was hurt is compared, the file, and what it then was."""
    return [(left_behind.key_of(path, self.runs), path, now) for path, now in self.hurt.items()]

  def _said(self, paths: Iterable[pathlib.Path]) -> list[str]:
    """The lines of all starts that name one of these files, or its folder."""
    names = {os.path.relpath(path, self.folder) for path in paths}
    names |= {os.path.dirname(name) for name in names if "checkpoints" in name}
    names |= {match[0] for name in names if (match := re.match(r".*/checkpoints/\d+", name))}
    outputs = sorted(self.folder.parent.glob(f"{self.folder.name}-*.txt"))
    lines = [line for path in outputs for line in path.read_text(errors="replace").splitlines()]
    return [line.strip() for line in lines if any(name in line for name in names)]


class Watch:
  """Counts the changes of a work's folders: a file that appears, is replaced, or goes."""

  def __init__(self, root: pathlib.Path, folders: tuple[str, ...]):
    self._paths = [root / folder for folder in folders]
    self._seen = self._look()
    self.changes = 0

  def look(self) -> int:
    """How many changes there were until now."""
    now = self._look()
    self.changes += sum(a != b for a, b in zip(self._seen, now, strict=True))
    self._seen = now
    return self.changes

  def _look(self) -> list[int]:
    return [_changed_at(path) for path in self._paths]


def _changed_at(path: pathlib.Path) -> int:
  try:
    return path.stat().st_mtime_ns
  except OSError:
    return 0


def left_alone(work: Work, folder: pathlib.Path, starter: Starter) -> Whole:
  """Carries the work out twice, the second time measured, and with the same bits."""
  found: list[dict[str, object]] = []
  folders, changes, began = ("runs",), 0, 0.0
  for number in range(2):
    trial = Trial(work, "none", number, folder / f"whole-{number}", starter)
    work.lay_out(trial.folder)
    watch, began = Watch(trial.folder, folders), time.monotonic()
    processes = trial.start()
    while not all(process.wait(0.005) for process in processes):
      watch.look()
      if time.monotonic() > began + PATIENCE:
        break
    trial.let_end(processes)
    if trial.wrong or {process.code for process in processes} != {0}:
      raise RuntimeError(f"{work.name}, left alone: {trial.wrong} {trial.output()[-2000:]}")
    seconds, changes = time.monotonic() - began, watch.changes
    found.append(left_behind.read(trial.runs))
    folders = tuple(_folders(trial.folder))
  if lines := [line for _, line in left_behind.differences(found[0], found[1])]:
    raise RuntimeError(f"{work.name}, left alone twice, differs: {lines}")
  size = sum(path.stat().st_size for path in trial.runs.rglob("*") if path.is_file())
  return Whole(found[0], folders, changes, seconds, size)


def _folders(root: pathlib.Path) -> Iterator[str]:
  """Those of the runs, less what lies in a single checkpoint."""
  for at, folders, _ in os.walk(root / "runs"):
    folders[:] = [name for name in folders if not name.isdigit() and name != ".jax_cache"]
    yield os.path.relpath(at, root)


def _is_untouched(left: object, path: pathlib.Path, hurt: bytes | None) -> bool:
  """Whether a file is as it was when it was hurt, and a checkpoint that it is part of was not
  written anew (in files of other names, mostly)."""
  is_read = isinstance(left, dict) and "checkpoints" in path.parts
  return not is_read and (path.read_bytes() if path.is_file() else None) == hurt


def _last_line(output: str) -> str:
  lines = [line for line in output.splitlines() if line.strip()]
  return lines[-1].strip()[:300] if lines else "no output"


def remove(trial: Trial) -> None:
  """Removes what a trial left that ended as it should."""
  shutil.rmtree(trial.folder, ignore_errors=True)
  for path in trial.folder.parent.glob(f"{trial.folder.name}-*.txt"):
    with contextlib.suppress(OSError):
      path.unlink()
