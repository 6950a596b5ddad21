"""Signals during a sweep: the first stops the jobs cleanly, the second kills them."""

import contextlib
import signal
from collections.abc import Generator
from typing import Any

from experiments.command_line import endings
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.live_table import LiveTable


@contextlib.contextmanager
def stopping(launcher: Launcher, table: LiveTable) -> Generator[list[int]]:
  """Makes ^C (or SIGTERM, or SIGHUP) stop the jobs, and a second one kill them; yields the signals
  so far. The screen may go meanwhile."""
  signals: list[int] = []

  def on_signal(number: int, frame: Any) -> None:
    signals.append(number)
    table.note = "stopping; ^C again to kill"
    launcher.stop()

  endings.keep_going_unseen()
  heard = [n for n in endings.STOPS if signal.getsignal(n) != signal.SIG_IGN]  # nohup ignores one
  before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, *heard)}
  try:
    yield signals
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
