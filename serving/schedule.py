"""Rounds on time: `--every=1h`. No jax here."""

import re
import sys
import threading
import time
from collections.abc import Callable

from training.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(every: str) -> float:
  """The seconds of "90s", "15m", "1h" or "1d". UserError for anything else."""
  found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", every)
  if not found:
    raise UserError(f"--every={every}: a number with s, m, h or d, such as 1h")
  return int(found[1]) * float(_UNITS[found[2]])


def on_schedule(seconds: float, begin: Callable[[], object]) -> None:
  """Calls `begin` again and again, `seconds` apart, in a thread of its own."""

  def again() -> None:
    while True:
      time.sleep(seconds)
      try:
        begin()
      except Exception as error:  # bad rows, a full disk: the next time may be better
        print(f"schedule: {error}", file=sys.stderr, flush=True)

  threading.Thread(target=again, name="schedule", daemon=True).start()
