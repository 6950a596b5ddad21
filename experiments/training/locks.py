"""One run at a time: for what several runs share and the first to come makes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from experiments.training import hosts, membership


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
  """Waits until no other run holds `path`.lock. The system frees it if the holder dies.

  Of several processes that train together the first holds it for all; of a population, whoever
  comes first, and computes apart from the others meanwhile.
  """
  if not hosts.is_first():
    yield
    return
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  with open(f"{path}.lock", "w") as file, membership.apart():
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
