"""One process at a time: for what several runs share and the first to come makes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
  """Waits until no other process holds `path`.lock. The system frees it if the holder dies."""
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  with open(f"{path}.lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
