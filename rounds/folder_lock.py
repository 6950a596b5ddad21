"""One process at a time in a folder. No jax here."""

import fcntl
import os

from training.errors import UserError


def hold(folder: str, otherwise: str) -> int:
  """Locks the folder for this process, until it ends or closes the lock that is returned.

  Raises UserError, with the words `otherwise`, if another process has it.
  """
  os.makedirs(folder, exist_ok=True)
  lock = os.open(os.path.join(folder, ".lock"), os.O_CREAT | os.O_RDWR)
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(lock)
    raise UserError(f"{folder}: {otherwise}") from None
  return lock
