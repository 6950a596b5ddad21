"""Hurts real commands at random, and compares what they leave with what they leave undisturbed.

python -m tests.chaos --kills=1000              as many kills, half as many damaged files, ...
python -m tests.chaos --kills=20 --works=lora   of one work
python -m tests.chaos --repeat=lora:SIGINT:17   one trial again

Writes trials.jsonl and table.md in --out as it goes, and keeps the folders of trials that went
wrong. The verdict of each is: same (to the bit), said (an error or a warning names the file),
unread (a damaged file is as it was, all else the same), or wrong. Exit code: 0 nothing was wrong,
1 something was, 2 bad usage, 130 interrupted.
"""

import logging
import pathlib
import random
import re
import secrets
import signal
import textwrap
import threading
import time
from collections.abc import Sequence

from experiments.command_line import cli
from tests.chaos import disk
from tests.chaos.faults import FAULTS, Fault, works_of
from tests.chaos.starts import Starter
from tests.chaos.tally import Tally
from tests.chaos.trials import WRONG, Trial, Verdict, Whole, left_alone, remove
from tests.chaos.works import WORKS, Work
from training import interrupts
from training.errors import UserError
from training.records.environment import git_commit

FLAGS = {
  "kills": (1000, "kills and signals; half as many files are damaged, a twentieth of disks full"),
  "works": ("", f"of these only: {','.join(WORKS)}"),
  "faults": ("", f"these only: {','.join(FAULTS)}"),
  "seed": (-1, "of all choices (default: another each time; it is printed)"),
  "jobs": (2, "trials at a time"),
  "minutes": (0.0, "begin no trial after these (default: until all is done)"),
  "out": ("", "the folder (default: runs/chaos/SEED)"),
  "repeat": ("", "one trial again: WORK:FAULT:SEED, as they are printed"),
  "dry_run": (False, "print how often each work would be hurt, and do nothing"),
}
SLOW = 0.15  # of a slow work there are so many trials for one of another
SHOWN = 60  # lines of the output of a trial that went wrong


def main(argv: Sequence[str]) -> int:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs=None)
  seed = secrets.randbelow(10**6) if flags.seed < 0 else flags.seed
  works = _named(flags.works, WORKS, "works")
  faults = _named(flags.faults, FAULTS, "faults")
  if flags.repeat:
    works, faults, seed = _of_trial(flags.repeat)
  if FAULTS["full disk"] in faults and not disk.can_mount():
    print("no full disks: a small tmpfs can be mounted by root only")
    faults.remove(FAULTS["full disk"])
  if flags.dry_run:
    for fault in faults:
      names = ", ".join(work.name for work in works_of(fault, works))
      print(f"{round(flags.kills * fault.share):5}  {fault.name:16} {names}")
    return 0
  out = pathlib.Path(flags.out or f"runs/chaos/{seed}").absolute()
  if out.exists() and any(out.iterdir()):
    raise UserError(f"--out={out} is not empty: give another")
  out.mkdir(parents=True, exist_ok=True)
  logging.getLogger().setLevel(logging.CRITICAL)  # Orbax's words to what is left are no news
  logging.getLogger("absl").setLevel(logging.CRITICAL)
  words = " ".join(argv)
  about = f"`python -m tests.chaos {words}`, seed {seed}, commit {git_commit()[:7]}"
  print(about, flush=True)
  tally = Tally(out, about)
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, interrupts.interrupt)
  with Starter() as starter:
    chaos = Chaos(out, starter, tally, random.Random(seed), flags.minutes)
    try:
      if flags.repeat:
        chaos.try_once(works[0], faults[0], seed)
      else:
        chaos.run(works, faults, flags.kills, flags.jobs)
    finally:
      disk.unmount_below(out)
  print(tally.table())
  for verdict in tally.wrong:
    print(f"wrong: {_name(verdict)}  {'; '.join(verdict.lines)}")
  return 1 if tally.wrong else 0


def _named(text: str, table: dict, flag: str) -> list:
  """The entries of a table that a flag names; all without it. UserError for another name."""
  names = [name.strip() for name in text.split(",")] if text else list(table)
  if strangers := [name for name in names if name not in table]:
    raise UserError(f"--{flag}={','.join(strangers)}: choose of {', '.join(table)}")
  return [table[name] for name in names]


def _of_trial(text: str) -> tuple[list[Work], list[Fault], int]:
  work, fault, seed = [*text.split(":"), "", ""][:3]
  if not seed.isdigit():
    raise UserError(f"--repeat={text}: give it as WORK:FAULT:SEED, such as lora:SIGINT:17")
  return _named(work, WORKS, "repeat"), _named(fault, FAULTS, "repeat"), int(seed)


def _name(verdict: Verdict) -> str:
  return f"{verdict.work}:{verdict.fault}:{verdict.seed}"


class Chaos:
  """Trials, some at a time, until each fault was done as often as it should."""

  def __init__(
    self,
    out: pathlib.Path,
    starter: Starter,
    tally: Tally,
    random: random.Random,
    minutes: float,
  ):
    self._out, self._starter, self._tally, self._random = out, starter, tally, random
    self._until = time.monotonic() + 60 * minutes if minutes else float("inf")
    self._wholes: dict[str, Whole] = {}
    self._locks = {name: threading.Lock() for name in WORKS}
    self._choosing = threading.Lock()
    self._underway: list[str] = []  # faults of the trials that go on now
    self._failed: list[BaseException] = []

  def run(self, works: list[Work], faults: list[Fault], kills: int, jobs: int) -> None:
    def go_on() -> None:
      try:
        while chosen := self._choose(works, faults, kills):
          self.try_once(*chosen)
      except BaseException as error:
        self._failed.append(error)

    threads = [threading.Thread(target=go_on, daemon=True) for _ in range(jobs)]
    for thread in threads:
      thread.start()
    try:
      for thread in threads:
        while thread.is_alive():
          thread.join(0.5)
    except KeyboardInterrupt as stopped:
      self._failed.append(stopped)  # what the trials come to from here on is no verdict
    if self._failed:
      raise self._failed[0]

  def _choose(
    self, works: list[Work], faults: list[Fault], kills: int
  ) -> tuple[Work, Fault, int] | None:
    """The fault that lacks most of its share, and a work for it; None when all is done."""
    with self._choosing:
      if time.monotonic() > self._until or self._failed:
        return None

      def lacks(fault: Fault) -> float:
        wanted = max(1, round(kills * fault.share))
        underway = self._underway.count(fault.name)
        return 1 - (self._tally.injected(fault.name) + underway) / wanted

      able = [fault for fault in faults if works_of(fault, works)]
      fault = max(able, key=lacks, default=None)
      if fault is None or lacks(fault) <= 0:
        return None
      choices = works_of(fault, works)
      weights = [SLOW if work.is_slow or work.processes > 1 else 1.0 for work in choices]
      work = self._random.choices(choices, weights)[0]
      self._underway.append(fault.name)
      return work, fault, self._random.randrange(10**6)

  def try_once(self, work: Work, fault: Fault, seed: int) -> None:
    """One trial, from an empty folder to its verdict."""
    with self._locks[work.name]:
      if work.name not in self._wholes:
        self._wholes[work.name] = left_alone(work, self._out / work.name, self._starter)
    whole, began = self._wholes[work.name], time.monotonic()
    folder = self._out / work.name / re.sub(r"\W+", "-", f"{fault.name} {seed}")
    trial = Trial(work, fault.name, seed, folder, self._starter)
    work.lay_out(folder)
    try:
      fault.do(trial, whole)
    except Exception as error:
      trial.wrong.append(f"the harness failed: {type(error).__name__}: {error}")
    verdict = trial.judge(whole, began)
    if self._failed:
      return
    self._tally.add(verdict)
    if fault.name in self._underway:
      self._underway.remove(fault.name)
    said = f"  {verdict.lines[0]}" if verdict.lines else ""
    print(
      f"{verdict.verdict:6}  {_name(verdict)}  hurt {verdict.injected} times, "
      f"{verdict.starts} starts, {verdict.seconds} s{said}",
      flush=True,
    )
    if verdict.verdict == WRONG:
      print(f"        kept: {folder}; its last output:", flush=True)
      output = "\n".join(trial.output().splitlines()[-SHOWN:])
      print(textwrap.indent(output, " " * 10), flush=True)
    else:
      remove(trial)


if __name__ == "__main__":
  cli.run(main)
