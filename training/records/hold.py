"""The lock of a run: one process trains it at a time, from its first look at the folder on."""

import contextlib
import fcntl
import os
from collections.abc import Generator

from training.errors import UserError
from training.records.run_folder import RunFolder


@contextlib.contextmanager
def held(folder: RunFolder) -> Generator[None]:
  """Keeps other processes from training this run. The system lets it go if the process dies.

  UserError if another has it, or if the disk cannot say.
  """
  if folder.read_only:
    yield
    return
  above, name = os.path.split(os.path.normpath(folder.path))
  os.makedirs(above or ".", exist_ok=True)
  path = os.path.join(above, f".{name}.lock")  # beside it: --overwrite deletes what is in it
  with open(path, "w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(f"{folder.path}: another process is training this run") from None
    except OSError as error:
      raise UserError(
        f"{folder.path}: its disk locks no files ({error.strerror}), so nothing could keep two "
        "processes from training one run; choose a folder on another"
      ) from None
    yield


def is_held(folder: RunFolder) -> bool:
  """Whether a process trains it now."""
  try:
    with held(folder):
      return False
  except UserError:
    return True
