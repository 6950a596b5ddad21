"""Locks: one process at a time trains a run, or is at work in a folder. No jax here."""

import contextlib
import fcntl
import os
from collections.abc import Generator

from training.errors import UserError
from training.records.run_folder import RunFolder


def lock(path: str, otherwise: str) -> int:
  """Locks this file for this process, until it ends or closes the descriptor that is returned.

  UserError, with the words `otherwise`, if another process has it; or if the disk cannot say.
  """
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    os.close(descriptor)
    if isinstance(error, BlockingIOError):
      raise UserError(otherwise) from None
    raise UserError(
      f"{path}: its disk locks no files ({error.strerror}), so nothing could keep two processes "
      "apart; choose a folder on another"
    ) from None
  return descriptor


@contextlib.contextmanager
def held(folder: RunFolder) -> Generator[None]:
  """Keeps other processes from training this run. The system lets it go if the process dies.

  UserError as `lock` has it.
  """
  if folder.read_only:
    yield
    return
  above, name = os.path.split(os.path.normpath(folder.path))
  path = os.path.join(above, f".{name}.lock")  # beside it: --overwrite deletes what is in it
  descriptor = lock(path, f"{folder.path}: another process is training this run")
  try:
    yield
  finally:
    os.close(descriptor)


def is_held(folder: RunFolder) -> bool:
  """Whether a process trains it now."""
  try:
    with held(folder):
      return False
  except UserError:
    return True
