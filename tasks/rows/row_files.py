"""Files of rows: JSONL (also gzipped) and Parquet, with all that is wrong found in one pass."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Row

KINDS = (".jsonl", ".jsonl.gz", ".parquet")
Parse = Callable[[Any, str], Row]  # (record, where) -> row; raises BadRows


class RowFileError(ValueError):
  """The file as a whole cannot be read."""


def read(
  path: str,
  parse: Parse = row_spellings.parse,
  advance: Callable[[int], None] = lambda rows: None,
) -> tuple[list[Row], list[Problem]]:
  """The good rows, and all problems of the others.

  Args:
    parse: a row from what a line holds.
    advance: called now and then with the number of rows read since.
  Raises:
    RowFileError: there is no such file, it is of another kind, it is empty or cut off.
  """
  rows: list[Row] = []
  problems: list[Problem] = []
  count = 0
  for number, record in _records(path):
    count += 1
    where = f"{os.path.basename(path)} row {number}"
    if isinstance(record, _Unreadable):
      problems.append(Problem(where, str(record)))
      continue
    try:
      rows.append(parse(record, where))
    except BadRows as bad:
      problems += bad.problems
    if count % 1000 == 0:
      advance(1000)
  advance(count % 1000)
  if not count:
    raise RowFileError(f"{path}: the file is empty")
  return rows, problems


def list_bad_rows(path: str, problems: Sequence[Problem]) -> None:
  """Writes the problems as JSONL, {"where", "problem"} each."""
  with open(path, "w", encoding="utf-8") as file:
    for problem in problems:
      line = {"where": problem.where, "problem": problem.what}
      file.write(json.dumps(line, ensure_ascii=False) + "\n")


class _Unreadable(str):
  """Stands for the record of a line that holds none: says why."""


def _records(path: str) -> Iterator[tuple[int, Any]]:
  """(row number from 1, record) of a file, whatever its kind."""
  if not os.path.isfile(path):
    raise RowFileError(f"{path}: no such file")
  if not path.endswith(KINDS):
    raise RowFileError(f"{path}: files of rows end in {', '.join(KINDS)}")
  if os.path.getsize(path) == 0:
    raise RowFileError(f"{path}: the file is empty")
  yield from _parquet(path) if path.endswith(".parquet") else _jsonl(path)


def _jsonl(path: str) -> Iterator[tuple[int, Any]]:
  """A row's number is its line's. Lines of blanks are no rows."""
  opened = gzip.open if path.endswith(".gz") else open
  number = 0
  try:
    with opened(path, "rb") as file:
      for number, line in enumerate(file, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
          yield number, _record_of(line)
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise RowFileError(f"{path}: cut off or no gzip file, after row {number} ({error})") from None


def _record_of(line: bytes) -> Any:
  try:
    text = line.decode("utf-8")
  except UnicodeDecodeError as error:
    return _Unreadable(f"not UTF-8 (byte {error.start + 1} of the line)")
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    cut = "" if text.endswith("\n") else "; the file may be cut off here"
    return _Unreadable(f"not JSON: {error.msg} (character {error.colno} of the line){cut}")
  except RecursionError:
    return _Unreadable("not JSON that can be read: nested too deeply")


def _parquet(path: str) -> Iterator[tuple[int, Any]]:
  import pyarrow
  import pyarrow.parquet

  number = 0
  try:
    with pyarrow.parquet.ParquetFile(path) as file:
      for batch in file.iter_batches(batch_size=1024):
        for record in batch.to_pylist():
          number += 1
          yield number, record
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
    reason = str(error).strip().partition("\n")[0]
    raise RowFileError(
      f"{path}: no whole Parquet file; it may be cut off, after row {number} ({reason})"
    ) from None
