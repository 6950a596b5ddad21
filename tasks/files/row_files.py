"""Files of rows, one or many, with all that is wrong with them found in one pass."""

import glob
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tasks.files import record_formats
from tasks.files.record_formats import RowFileError, Unreadable
from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Row

Parse = Callable[[Any, str], Row]  # (record, where) -> row; raises BadRows
Advance = Callable[[int], None]  # told how much was read since
Splits = dict[str, list[str]]  # "train" and, if there is one, "test" -> paths

# As data sets name their files: "train-00000-of-00002.parquet", "dev.jsonl".
_TRAIN = re.compile(r"train(ing)?\b|train_", re.I)
_TEST = re.compile(r"(test|valid|validation|val|dev|eval)\b|(test|valid|validation|val|dev)_", re.I)
_SAVED = ("dataset_dict.json", "state.json")  # in folders that `datasets` saved
_ABOUT = (*_SAVED, "dataset_info.json", "dataset_infos.json")  # hold no rows
_AT_ONCE = 1000  # rows


def read(
  path: str, parse: Parse = row_spellings.parse, advance: Advance = lambda rows: None
) -> tuple[list[Row], list[Problem]]:
  """The good rows of a file, and all problems of the others.

  Args:
    parse: a row from what a line holds.
    advance: called now and then with the number of rows read since.
  Raises:
    RowFileError: there is no such file, it is of another kind, it is empty or cut off.
  """
  rows: list[Row] = []
  problems: list[Problem] = []
  count = 0
  for found in each(path, parse):
    count += 1
    if isinstance(found, Row):
      rows.append(found)
    else:
      problems += found
    if count % _AT_ONCE == 0:
      advance(_AT_ONCE)
  advance(count % _AT_ONCE)
  return rows, problems


def each(
  path: str, parse: Parse = row_spellings.parse, bytes_read: Callable[[int], None] = lambda n: None
) -> Iterator[Row | tuple[Problem, ...]]:
  """Each row of a file, or what is wrong with it. RowFileError as in `read`.

  Args:
    bytes_read: called now and then with how much of the file was read until then.
  """
  if not os.path.isfile(path):
    raise RowFileError(f"{path}: no such file")
  is_empty, name = True, os.path.basename(path)
  for number, record in record_formats.records(path, bytes_read):
    is_empty, where = False, f"{name} row {number}"
    if isinstance(record, Unreadable):
      yield (Problem(where, str(record)),)
      continue
    try:
      yield parse(record, where)
    except BadRows as bad:
      yield bad.problems
  if is_empty:
    raise RowFileError(f"{path}: the file is empty")


def are_files(name: str) -> bool:
  """Whether the name is that of a file, of files as in "data/*.jsonl", or of a folder of them."""
  return os.path.isfile(name) or glob.has_magic(name) or bool(_saved(name) or _in_folder(name))


def splits_of(name: str) -> Splits:
  """The files that a name means, by split.

  One file is "train". Of several, those that are called test, valid, dev or the like are "test", if
  others are called train.

  Raises:
    RowFileError: there are none.
  """
  if os.path.isfile(name):
    return {"train": [name]}
  if saved := _saved(name):
    return _by_name({os.path.relpath(path, name): path for path in saved})
  paths = _in_folder(name) if os.path.isdir(name) else sorted(glob.glob(name, recursive=True))
  paths = [path for path in paths if os.path.isfile(path)]
  if not paths:
    raise RowFileError(f"{name}: no file of rows is there")
  return _by_name({os.path.basename(path): path for path in paths})


def list_bad_rows(path: str, problems: Sequence[Problem]) -> None:
  """Writes the problems as JSONL, {"where", "problem"} each."""
  with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
    for problem in problems:
      line = {"where": problem.where, "problem": problem.what}
      file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _in_folder(folder: str) -> list[str]:
  """The files of rows in a folder, sorted; [] if it is none.

  Those of JSON count where there are no others, as they often tell about the others.
  """
  found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  names = [name for name in found if name not in _ABOUT and is_read(name)]
  others = [name for name in names if not name.lower().endswith(".json")]
  return [os.path.join(folder, name) for name in others or names]


def is_read(name: str) -> bool:
  """Whether a file of this name is one of rows."""
  try:
    return bool(record_formats.suffix_of(name))
  except RowFileError:
    return False


def _saved(folder: str) -> list[str]:
  """The files of a folder that `datasets` saved: of one data set, or of a folder a split."""
  if os.path.isfile(os.path.join(folder, _SAVED[0])):
    with open(os.path.join(folder, _SAVED[0]), encoding="utf-8") as file:
      splits = json.load(file)["splits"]
    return [path for split in splits for path in _saved(os.path.join(folder, split))]
  if not os.path.isfile(os.path.join(folder, _SAVED[1])):
    return []
  with open(os.path.join(folder, _SAVED[1]), encoding="utf-8") as file:
    return [os.path.join(folder, one["filename"]) for one in json.load(file)["_data_files"]]


def _by_name(paths: dict[str, str]) -> Splits:
  train = [path for name, path in paths.items() if _TRAIN.match(name)]
  if not train:
    return {"train": [*paths.values()]}
  test = [path for name, path in paths.items() if _TEST.match(name)]
  return {"train": train} | ({"test": test} if test else {})
