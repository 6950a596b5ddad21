"""JSON in files: whole ones, that appear at once, and ones of rows, that grow by a line each."""

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from training.errors import UserError

_STEP = re.compile(rb'\{"step": (\d{1,15})[,}]')


def write_atomically(path: str, text: str) -> None:
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  temporary = f"{path}.{os.getpid()}.tmp"
  with open(temporary, "w") as file:
    file.write(text)
  os.replace(temporary, path)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
  """A file to write, which takes the place of the one at `path` when all has gone well."""
  temporary = f"{path}.{os.getpid()}.tmp"
  with open(temporary, "wb") as file:
    yield file
  os.replace(temporary, path)


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
  return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
  """A plain Python number for an array's, and None for those that JSON cannot write."""
  if isinstance(value, Mapping):
    return finite(value)
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  value = value.item() if hasattr(value, "item") else value
  return None if isinstance(value, float) and not math.isfinite(value) else value


def read_rows(path: str) -> tuple[list[dict[str, Any]], list[bytes]]:
  """The rows of a file, each with its "step"; and the lines that are none, of a power cut, say."""
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
  except FileNotFoundError:
    return
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
  return isinstance(value, dict) and isinstance(value.get("step"), int)


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


def write_json(path: str, value: Any) -> None:
  write_atomically(path, json_text(value))


def json_text(value: Any) -> str:
  return json.dumps(value, indent=2) + "\n"


def read_json(path: str) -> dict[str, Any]:
  """The object in the file; {} if there is no file. UserError if it holds anything else."""
  text = read_text(path)
  try:
    found = json.loads(text) if text else {}
  except ValueError as error:
    raise UserError(f"{path} is damaged, no JSON ({error}): restore it, or move it away") from None
  if not isinstance(found, dict):
    raise UserError(f"{path} is damaged: it holds no JSON object. Restore it, or move it away")
  return found


def read_text(path: str) -> str:
  """ "" if there is no file."""
  try:
    with open(path, errors="replace") as file:
      return file.read()
  except (FileNotFoundError, NotADirectoryError):
    return ""
