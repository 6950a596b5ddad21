"""The programs that jax keeps compiled: a shape compiles once. A file that is torn is mended."""

import contextlib
import glob
import os
import re
import warnings

_UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '(.+?)'")


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
  """From here on a file that jax cannot read is removed, and the program kept anew.

  jax writes in place and never over a file: what a kill or a full disk tears would be compiled
  again in every later run, with a warning each. The warning is all that tells of it, and names the
  program; what else is kept of that program goes, too.
  """
  show = warnings.showwarning

  def remove_or_show(message, category, filename, lineno, file=None, line=None) -> None:
    if unreadable := _UNREADABLE.match(str(message)):
      _remove(unreadable[1])
    else:
      show(message, category, filename, lineno, file, line)

  warnings.showwarning = remove_or_show


def _remove(program: str) -> None:
  folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
  for path in glob.glob(os.path.join(glob.escape(folder), f"{glob.escape(program)}-*-cache")):
    with contextlib.suppress(OSError):  # another process was faster
      os.remove(path)
