"""Rows that are on the disk before anybody is told of them: files of lines that only grow."""

import json
import os
from collections.abc import Mapping
from typing import Any

from training.errors import UserError
from training.records import files


def append_line(path: str, record: Mapping[str, Any]) -> None:
  """Appends one line, which is on the disk when this returns. OSError: there is none of it."""
  is_new = not os.path.exists(path)
  with open(path, "ab") as file:
    whole = os.fstat(file.fileno()).st_size
    try:
      file.write(json.dumps(record).encode() + b"\n")
      file.flush()
      os.fsync(file.fileno())
    except OSError:  # the disk is full, say: what follows must not join half a line
      os.ftruncate(file.fileno(), whole)
      raise
  if is_new:
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
  """Returns when the names of the files in a folder are on the disk."""
  folder = os.open(path, os.O_RDONLY)
  os.fsync(folder)
  os.close(folder)


def read_lines(path: str, needs: Mapping[str, type]) -> list[dict[str, Any]]:
  """Reads all whole lines. Removes a last one that was cut off, which nobody was told is kept.

  UserError if a line is none of ours: rounds count the rows, so that none is left out.
  """
  if not os.path.exists(path):
    return []
  try:
    with open(path, "rb+") as file:
      content = file.read()
      whole = content.rfind(b"\n") + 1
      file.truncate(whole)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}") from None
  return [
    _row(line, needs, f"{path} line {number}")
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1)
  ]


def _row(line: bytes, needs: Mapping[str, type], where: str) -> dict[str, Any]:
  try:
    row = files.parsed(line)
  except ValueError as error:
    raise files.damaged(where, f"no JSON ({error})") from None
  if not isinstance(row, dict):
    raise files.damaged(where, "no JSON object")
  if missing := [key for key, kind in needs.items() if not isinstance(row.get(key), kind)]:
    raise files.damaged(where, f"its {missing[0]!r} is missing, or of another kind")
  return row
