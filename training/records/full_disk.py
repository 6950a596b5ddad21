"""Disks that take no more: said in a line, whoever wrote."""

import errno
import os
import re

_ROOM = "Make room there: the same command then goes on"
_WRITE = "Choose a folder that may be read and written (see --help)"
FULL = (errno.ENOSPC, errno.EDQUOT)
_ADVICE = {
  **dict.fromkeys(FULL, _ROOM),
  **dict.fromkeys((errno.EROFS, errno.EACCES), _WRITE),
  errno.EIO: "Its disk fails: copy what is there to another",
}


def said(error: BaseException | None) -> str:
  """Says which file could not be written, why, and what to do; "" for any other error.

  Orbax and TensorStore, and what writes data sets, put the system's words into errors of their own.
  """
  while error is not None:
    if isinstance(error, OSError) and error.errno in _ADVICE:
      return _say(str(error.filename or ""), error.errno)
    text = str(error)
    if found := next((number for number in FULL if os.strerror(number) in text), 0):
      path = re.search(r"(?<=[\"'\s])/[^\"'\s:]+", text)
      return _say(path[0] if path else "", found)
    error = error.__cause__ or error.__context__
  return ""


def _say(path: str, number: int) -> str:
  path = re.sub(r"\.\d+\.tmp$", "", path)  # it was to take the place of that
  return f"{f'{path}: ' if path else ''}{os.strerror(number)}. {_ADVICE[number]}"
