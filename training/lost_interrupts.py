"""An interrupt that reached only a callback, such as jax's at a garbage collection, is repeated.

Python prints what a callback raises, and goes on: a ^C there would be lost. Not printed are threads
of TensorStore that report to an event loop that Orbax has closed: one write of many has failed, on
a full disk, say, and that is raised where it can be said.
"""

import _thread
import sys
import threading
from typing import Any


def repeat_them() -> None:
  """From here on, in this process."""
  sys.unraisablehook = _again


def _again(lost: Any) -> None:
  if lost.exc_type is KeyboardInterrupt:
    threading.Timer(0.1, _thread.interrupt_main).start()  # later: at once, this hook would lose it
  elif str(lost.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(lost)
