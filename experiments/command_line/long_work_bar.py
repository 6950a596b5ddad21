"""A bar for work that takes long before a run begins, such as reading a large file."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
  BarColumn,
  Progress,
  TaskID,
  TaskProgressColumn,
  TextColumn,
  TimeRemainingColumn,
)

from tasks import long_work

AFTER = 1.0  # seconds; what is done sooner shows nothing


@contextlib.contextmanager
def shown() -> Iterator[None]:
  """Shows how far work is that is done while this is open; the bar goes away with it."""
  columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
  console = Console(stderr=True)
  progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
  bars: dict[str, TaskID] = {}
  began = time.monotonic()

  def listen(what: str, done: int, total: int) -> None:
    if not console.is_terminal or time.monotonic() - began < AFTER:
      return
    progress.start()
    if what not in bars:
      bars[what] = progress.add_task(what, total=total)
    progress.update(bars[what], completed=done, total=total)

  try:
    with long_work.heard_by(listen):
      yield
  finally:
    if bars:  # stopped, one that never began would print an empty line
      progress.stop()
