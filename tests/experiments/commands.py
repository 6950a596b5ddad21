"""Commands as a user types them, run in this process, where all share imports and programs."""

import contextlib
import io
import os
import pathlib
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import pytest

from experiments.command_line import cli, endings


class Done(NamedTuple):
  returncode: int
  stdout: str
  stderr: str


def run(main: Callable, *words: str, place) -> Done:
  """Does as `python -m` the module of `main`, with these words and in this folder, would."""
  out, err = io.StringIO(), io.StringIO()
  numbers = (signal.SIGINT, *endings.STOPS)
  handlers = [signal.getsignal(number) for number in numbers]
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(place)
    patch.setattr(sys, "argv", [main.__module__, *words])
    patch.setattr(sys, "path", [str(place), *sys.path])
    patch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        cli.run(main)
  for number, handler in zip(numbers, handlers, strict=True):
    signal.signal(number, handler)
  return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def written(home: pathlib.Path) -> set[pathlib.Path]:
  """What there is, but for what Python itself keeps."""
  return {path for path in home.rglob("*") if "__pycache__" not in path.parts}


def quickest(types: Callable[[], None], tries: int = 5) -> float:
  """The fewest seconds that its child processes took, by the clock or of a processor.

  The first try warms the disk cache, and the machine may be busy.
  """

  def seconds() -> float:
    start, before = time.perf_counter(), os.times()
    types()
    after = os.times()
    processor = after.children_user + after.children_system
    processor -= before.children_user + before.children_system
    return min(time.perf_counter() - start, processor)

  return min(seconds() for _ in range(tries))
