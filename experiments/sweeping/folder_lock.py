"""One launch of a sweep at a time: a second one in the same folder waits for the first to end."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Generator


@contextlib.contextmanager
def only_launch(folder: str) -> Generator[None]:
  """Waits until no other `experiments.sweep` runs this sweep, then keeps others waiting.

  The system frees the folder when the process that holds it dies, in whatever way.
  """
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, "sweep.lock"), "a+") as file:
    if not _try(file):
      file.seek(0)
      print(f"{folder}: {file.read() or 'another process'} is at this sweep. Waiting to take over")
      print(
        "what it leaves. ^C to leave it alone, --out=FOLDER for a sweep of your own.", flush=True
      )
      fcntl.flock(file, fcntl.LOCK_EX)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    yield


def _try(file) -> bool:
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True
