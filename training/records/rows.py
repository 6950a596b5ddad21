"""Files of rows, which grow by a line each: a line is the JSON of an object with its "step"."""

import json
import re
from collections.abc import Iterator
from typing import Any

from training.errors import UserError
from training.records.files import replacing

_STEP = re.compile(rb'\{"step": (\d{1,15})[,}]')


def read_rows(path: str) -> tuple[list[dict[str, Any]], list[bytes]]:
  """The rows of a file, each with its "step"; and the lines that are none, of a power cut, say.

  UserError if it cannot be read at all.
  """
  rows, broken = [], []
  for line, row in each_row(path):
    if row is None:
      broken.append(line)
    else:
      rows.append(row)
  return rows, broken


def each_row(path: str) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
  """Each line of a file of rows, and the row that it is, or None; no more than some at a time."""
  for lines in blocks(path):
    for line in lines:
      yield line, row_of(line)


def blocks(path: str, size: int = 1 << 20) -> Iterator[list[bytes]]:
  """The whole lines of a file, about so many bytes of them at a time; none without a file.

  A last line without its end is half-written: none, as yet.
  """
  try:
    file = open(path, "rb")
  except (FileNotFoundError, NotADirectoryError):
    return
  except OSError as error:  # a folder in its place, or nothing for us to read
    raise UserError(f"{path} cannot be read: {error.strerror}") from None
  with file:
    while lines := file.readlines(size):
      whole = [line[:-1] for line in lines if line.endswith(b"\n")]
      if whole:
        yield whole


def row_of(line: bytes) -> dict[str, Any] | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return row if is_row(row) else None


def is_row(value: Any) -> bool:
  step = value.get("step") if isinstance(value, dict) else None
  return type(step) is int and -(2**63) <= step < 2**63


def read_ends(path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  """The rows of the first step that a file has, and of the last; the rest is read and forgotten."""
  first: list[bytes] = []
  last: list[bytes] = []
  steps: list[int] = []  # of the first, and of the last until now
  for lines in blocks(path):
    for line in lines:
      step = _step_of(line)
      if step is None:
        continue
      if not steps:
        steps = [step, step]
      if step == steps[0]:
        first.append(line)
      if step != steps[1]:
        steps[1], last = step, []
      last.append(line)
  ends = [[row for line in found if (row := row_of(line)) is not None] for found in (first, last)]
  return ends[0], ends[1]


def _step_of(line: bytes) -> int | None:
  if found := _STEP.match(line):  # as we write them: no need to read all of a long text
    return int(found[1])
  row = row_of(line)
  return None if row is None else row["step"]


def truncate(path: str, step: int) -> list[bytes]:
  """Drops the rows after `step`, and a half-written last line; returns lines that are no rows.

  Those go to the end of a file beside it, PATH.broken.
  """
  broken = []
  with replacing(path) as file:
    for line, row in each_row(path):
      if row is None:
        broken.append(line)
      elif row["step"] <= step:
        file.write(line + b"\n")
    if broken:
      with open(f"{path}.broken", "ab") as other:
        other.writelines(line + b"\n" for line in broken)
  return broken
