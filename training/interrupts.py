"""Interrupts: each is raised where it can be caught.

Python loses what a callback raises, such as jax's at a garbage collection: it prints it, and goes
on. So a signal that is handled in one would stop nothing.
"""

import _thread
import math
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_SOON = 0.1  # seconds, after which an interrupt that a callback lost comes again
_SAME = 2.0  # seconds in which a second signal is the same wish, and would only break off the end


class _Latest:
  number: int = signal.SIGINT  # of the latest signal
  raised: float = -math.inf  # when the latest interrupt was raised


def repeat_lost() -> None:
  """From here on an interrupt that reaches only a callback comes again, and is not printed.

  Nor are threads of TensorStore that report to an event loop that Orbax has closed: one write of
  many has failed, on a full disk, say, and that is raised where it can be said.
  """
  sys.unraisablehook = _after_a_callback
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
  """The handler of signals that are to do what ^C does; more of them do not break off the end."""
  _Latest.number = number
  while frame:
    code = frame.f_code
    if (code.co_filename, code.co_name) == (__file__, "_after_a_callback"):
      return _repeat()  # there it would be lost as well
    frame = frame.f_back
  if time.monotonic() > _Latest.raised + _SAME:
    _Latest.raised = time.monotonic()
    raise KeyboardInterrupt


def _after_a_callback(lost: Any) -> None:
  if lost.exc_type is KeyboardInterrupt:
    _repeat()
  elif str(lost.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(lost)


def _repeat() -> None:
  """Sends the signal again, soon: it wakes what waits, and ^C may be ignored where it is not."""
  number, main = _Latest.number, threading.main_thread()
  _Latest.raised = -math.inf

  def later() -> None:
    time.sleep(_SOON)
    if main.ident is not None and main.is_alive():  # else Python is at its end
      signal.pthread_kill(main.ident, number)

  # Not by threading: a handler that interrupts it may wait for a lock that it holds.
  _thread.start_new_thread(later, ())
