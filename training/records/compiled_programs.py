"""The programs that jax keeps compiled: a shape compiles once. A file that is torn is mended."""

import os
import sys
import warnings
from types import FrameType

_UNREADABLE = "Error reading persistent compilation cache entry for "


def kept_below(root: str) -> dict[str, str]:
  """The variables that make jax keep compiled programs below `root`."""
  return {
    "JAX_COMPILATION_CACHE_DIR": os.path.abspath(os.path.join(root, ".jax_cache")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  }


def keep_below(root: str) -> None:
  """Sets them for this process, where nobody did. jax reads them when it is imported."""
  for name, value in kept_below(root).items():
    os.environ.setdefault(name, value)


def mend() -> None:
  """From here on a file that jax cannot read, as it is torn, is removed; jax then writes it anew.

  jax writes in place and never over a file: what a kill or a full disk tears would be compiled
  again in every later run, with a warning each. That warning is all that tells of it.
  """
  show = warnings.showwarning
  if show.__module__ == __name__:
    return  # as in a job that runs in its sweep's own process

  def remove_or_show(message, category, filename, lineno, file=None, line=None) -> None:
    is_of_a_file = str(message).startswith(_UNREADABLE)
    if not (is_of_a_file and _is_mended()):
      show(message, category, filename, lineno, file, line)

  warnings.filterwarnings("always", message=_UNREADABLE)  # of two torn files both are mended
  warnings.showwarning = remove_or_show


def _is_mended() -> bool:
  """Whether the file is gone that jax, which has called us, could not read; if it was torn."""
  frame: FrameType | None = sys._getframe()
  while frame and frame.f_code.co_name != "_cache_read":
    frame = frame.f_back
  found = frame.f_locals if frame else {}
  key, error = found.get("cache_key"), found.get("ex")
  if key is None or error is None or not _says_torn(error):
    return False
  folder = sys.modules["jax"].config.jax_compilation_cache_dir
  try:
    os.remove(os.path.join(folder, f"{key}-cache"))
  except FileNotFoundError:  # another process was faster, or the folder is no local one
    return os.path.isdir(folder)
  except OSError:
    return False
  return True


def _says_torn(error: Exception) -> bool:
  """Or gone: not that memory, file handles or rights are missing, which says nothing of a file."""
  of_machine = isinstance(error, OSError | MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
  return isinstance(error, FileNotFoundError) or not of_machine
