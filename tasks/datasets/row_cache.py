"""Large files and data sets of rows, read once: what was read is kept for the next time.

Below DATA_DIR/read/, in a folder named by a hash of the data, of the code that reads it and of how
it was read. It may be deleted at any time.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence

from tasks import long_work
from tasks.code import fingerprints
from tasks.datasets import reading
from tasks.files import row_files, row_table
from tasks.files.record_formats import RowFileError
from tasks.files.row_files import Parse
from tasks.files.row_table import RowTable
from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Row
from tasks.rows.row_names import AS_SPELLED, RowNames

LARGE = 1 << 26  # bytes; less is read in a second or two
_READ = (
  "tasks.files.row_files:each",
  "tasks.rows.prompt_keys:known_of",
  "tasks.rows.row_spellings:parse",
  "tasks.files.row_table:write",
)

Each = Iterator[Row | Sequence[Problem]]


def tables(
  path: str, content: str, data_dir: str, names: RowNames = AS_SPELLED
) -> tuple[dict[str, RowTable], str]:
  """The rows of each split ("train", "test"), and the folder in which they are kept; "": in none.

  Args:
    content: a fingerprint of what lies at the path.
    data_dir: "": the default.
    names: the keys of a row's parts.
  Raises:
    RowFileError: the data as a whole cannot be read.
  """
  splits = _splits(path, functools.partial(row_spellings.parse, names=names))
  if _size(path) < LARGE:
    return {name: row_table.in_memory(each()) for name, each in splits.items()}, ""
  digest = hashlib.sha256(f"{content} {fingerprints.of(*_READ)} {names}".encode()).hexdigest()[:16]
  data_dir = os.path.abspath(os.path.expanduser(data_dir or reading.default_data_dir()))
  folder = os.path.join(data_dir, "read", digest)
  return {name: _stored(os.path.join(folder, name), each) for name, each in splits.items()}, folder


def _stored(folder: str, each: Callable[[], Each]) -> RowTable:
  """The table in the folder; written first if it is not there, or no longer what was written."""
  try:
    return row_table.read(folder)
  except FileNotFoundError:
    pass
  except row_table.Damaged:
    shutil.rmtree(folder)
  os.makedirs(os.path.dirname(folder), exist_ok=True)
  row_table.write(folder, each())
  return row_table.read(folder)


def remembered(
  folder: str, key: str, compute: Callable[[], list[tuple[int, Problem]]]
) -> list[tuple[int, Problem]]:
  """Problems of rows in a folder of `tables`, computed the first time. "": always.

  Args:
    key: all that it depends on, beside the rows.
  """
  if not folder:
    return compute()
  path = os.path.join(folder, f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json")
  try:
    with open(path, encoding="utf-8") as file:
      return [(int(i), Problem(str(where), str(what))) for i, where, what in json.load(file)]
  except (
    FileNotFoundError,
    ValueError,
    TypeError,
    RecursionError,
  ):  # a damaged one is written anew
    found = compute()
  partial = f"{path}.{os.getpid()}.partial"
  with open(partial, "w", encoding="utf-8") as file:
    json.dump([(i, problem.where, problem.what) for i, problem in found], file)
  os.replace(partial, path)
  return found


def _splits(path: str, parse: Parse) -> dict[str, Callable[[], Each]]:
  if reading.is_data_set(path):
    names = [name for name in reading.splits_of(path) if name in ("train", "test")]
    return {name: lambda split=name: _of_data_set(path, split) for name in names}
  files = row_files.splits_of(path)
  return {name: lambda paths=paths: _of_files(paths, parse) for name, paths in files.items()}


def _of_files(paths: Sequence[str], parse: Parse) -> Each:
  before, total = 0, sum(map(os.path.getsize, paths))
  for path in paths:
    with long_work.told(f"reading {os.path.basename(path)}", total) as done:
      yield from row_files.each(path, parse, lambda n, start=before: done(start + n))
    before += os.path.getsize(path)


def _of_data_set(path: str, split: str) -> Each:
  rows = reading.BuiltRows(path, split)
  with long_work.told(f"reading {os.path.basename(path)}", len(rows)) as done:
    for start in range(0, len(rows), 1000):
      done(start)
      try:
        yield from rows.__getitems__(range(start, min(start + 1000, len(rows))))
      except BadRows as bad:
        raise RowFileError(str(bad)) from None


def _size(path: str) -> int:
  if os.path.isfile(path):
    return os.path.getsize(path)
  if os.path.isdir(path):
    return sum(
      os.path.getsize(os.path.join(folder, name))
      for folder, _, names in os.walk(path)
      for name in names
    )
  files = row_files.splits_of(path)
  return sum(os.path.getsize(file) for paths in files.values() for file in paths)
