"""How commands that work for hours end: by signals as by ^C, and not because a screen is gone."""

import io
import os
import signal
import sys
from typing import Any

from training import interrupts

STOPS = (signal.SIGTERM, signal.SIGHUP)  # of a batch system; of a terminal that was closed


def quiet_from_the_first_second() -> None:
  """A ^C while Python still imports what a command needs ends it without a traceback."""

  def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):
      sys.__excepthook__(kind, error, trace)

  sys.excepthook = hook


def as_by_hand() -> None:
  """Makes these signals what ^C is, those apart that are ignored, as under nohup; and keeps going
  without output when that can no longer be written."""
  for number in STOPS:
    if signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, interrupts.interrupt)
  keep_going_unseen()


def no_more() -> None:
  """Ignores further signals: the process is about to end, and all is written."""
  for number in (signal.SIGINT, *STOPS):
    signal.signal(number, signal.SIG_IGN)


def keep_going_unseen() -> None:
  """From here on a closed terminal, a reader that ended or a full disk costs the output alone."""
  for name in ("stdout", "stderr"):
    stream = getattr(sys, name)
    if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
      stream.flush()
      setattr(sys, name, _lasting(stream))


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
  return io.TextIOWrapper(
    io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False)),
    stream.encoding,
    stream.errors,
    line_buffering=stream.line_buffering,
    write_through=stream.write_through,
  )


class _Lasting(io.FileIO):
  """A file descriptor whose first failure turns it to /dev/null."""

  def write(self, data: Any, /) -> int:
    try:
      return super().write(data)
    except OSError:
      os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
      return len(memoryview(data).cast("B"))
