"""Commands as a user types them, run in this process, where all share imports and programs."""

import contextlib
import io
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from experiments.command_line import cli


class Done(NamedTuple):
  returncode: int
  stdout: str
  stderr: str


def run(main: Callable, *words: str, place) -> Done:
  """Does as `python -m` the module of `main`, with these words and in this folder, would."""
  out, err, at_sigterm = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(place)
    patch.setattr(sys, "argv", [main.__module__, *words])
    patch.setattr(sys, "path", [str(place), *sys.path])
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      with pytest.raises(SystemExit) as ended:
        cli.run(main)
  signal.signal(signal.SIGTERM, at_sigterm)
  return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
