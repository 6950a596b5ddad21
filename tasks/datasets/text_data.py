"""A data set of texts for one run: found by name, read, checked against its tokenizer, and split.

A name is a file of rows, a folder or a pattern of them (tasks/files/row_files.py), a folder of
tensorflow-datasets, or a data set that `python -m tasks.build` built. All that is wrong with its
rows is said at once.
"""

import dataclasses
import functools
import hashlib
import os

import numpy as np

from tasks import group_dataset, long_work
from tasks.datasets import DATA_SETS, reading, row_cache, sources, text_rows
from tasks.datasets.text_groups import TextGroups
from tasks.datasets.text_rows import Limits, TextRows
from tasks.files import row_files
from tasks.files.row_table import RowTable
from tasks.rows import prompt_keys
from tasks.rows.prompt_keys import Keys
from tasks.rows.row import BadRows, Problem
from tasks.rows.row_names import AS_SPELLED, RowNames
from tasks.slips import did_you_mean, nearest
from tasks.tokenizers.tokenizer import Tokenizer


class TooFewPrompts(ValueError):
  """There are only `found` prompts to hold out; 0: there would be none to train on."""

  def __init__(self, message: str, found: int = 0):
    super().__init__(message)
    self.found = found


@dataclasses.dataclass(frozen=True)
class TextData:
  """A data set for one run: the rows it trains on, those held out, and what was left out."""

  path: str
  train: TextRows
  held_out: TextGroups  # of no groups, where the run evaluates on something else
  problems: tuple[Problem, ...]  # of bad rows, where they may be skipped
  prompts: int  # distinct ones that are there to train on, also if the run may not use all


def is_text(name: str) -> bool:
  """Whether a data set's name means texts, rather than a folder of groups that a run collected."""
  return bool(name) and not group_dataset.is_one(name)


def locate(name: str, data_dir: str) -> str:
  """The file, folder or pattern of files that a name means. ValueError if there is none."""
  if reading.is_data_set(name):
    return os.path.abspath(name)
  if name in DATA_SETS or name.startswith("local_"):
    return reading.folder_of(name, data_dir or reading.default_data_dir())
  if row_files.are_files(name):
    return os.path.abspath(name)
  if os.path.isdir(name):
    raise ValueError("no file of rows is there, and no data set of tensorflow-datasets")
  hint = did_you_mean(nearest(name, DATA_SETS)) or f" Built by name: {', '.join(DATA_SETS)}."
  raise ValueError(f"no such file or folder.{hint}")


def fingerprint(path: str) -> str:
  """Hex digits that differ when the rows do. A folder that tasks.build made is named by them."""
  if reading.is_data_set(path):
    path = os.path.join(path, "dataset_info.json")
    with open(path, "rb") as file:
      return hashlib.sha256(path.encode() + file.read()).hexdigest()
  if os.path.isfile(path):
    return _sha256_of(path)
  files = row_files.splits_of(path)
  each = [f"{split} {_sha256_of(path)}" for split, paths in files.items() for path in paths]
  return hashlib.sha256("\n".join(each).encode()).hexdigest()


def _sha256_of(path: str) -> str:
  found = os.stat(path)
  return _sha256(path, found.st_mtime_ns, found.st_size)


@functools.cache
def _sha256(path: str, changed: int, size: int) -> str:
  return sources.sha256_of(path)


@functools.lru_cache(maxsize=4)  # it is checked, described, and trained on
def load(
  path: str,
  content: str,
  tokenizer: Tokenizer,
  limits: Limits,
  *,
  scored: bool,
  held_out: int,
  most_prompts: int,
  skip_bad_rows: bool,
  data_dir: str = "",
  names: RowNames = AS_SPELLED,
) -> TextData:
  """The data set at this path.

  Args:
    content: the path's `fingerprint`, so that a data set that has changed is read anew.
    scored: it holds responses with scores; else prompts with answers.
    held_out: distinct prompts to hold out: of the data set's test split if it has one.
    most_prompts: distinct prompts to train on, at most; 0: all.
    data_dir: where what was read of large ones is kept; "": the default.
    names: the keys of a row's parts, in files.

  Raises:
    BadRows: all of them, if they may not be skipped.
    TooFewPrompts: of those to hold out.
    ValueError: there is no data set of this kind, or nothing in it to train on.
  """
  if names != AS_SPELLED and reading.is_data_set(path):
    given = ", ".join(f"data.{part}" for part in names.given()) or "data.ignore"
    raise ValueError(f"{given}: of files; {path} is built already (tasks.build takes --prompt=…)")
  tables, folder = row_cache.tables(path, content, data_dir, names)
  halves = {name: _Half(table, scored) for name, table in tables.items()}
  train, test = halves["train"], halves.get("test") if held_out else None
  problems = [*train.problems, *(test.problems if test else ())]
  there = len(np.unique(train.keys))
  # Prompts that the run can't use need not be looked at.
  if most_prompts:
    train.keep(prompt_keys.some(train.keys, most_prompts + (0 if test else held_out)))
  if test:
    test.keep(prompt_keys.some(test.keys, held_out))
  for name, half in (("train", train), ("test", test)):
    if half is not None:
      problems += half.refuse(tokenizer, limits, folder and os.path.join(folder, name))
  if problems and not skip_bad_rows:
    count = train.count + (test.count if test else 0)
    raise BadRows(problems, good=count - len({problem.where for problem in problems}))
  if not test and held_out:
    kept_back = prompt_keys.some(train.keys, held_out)
    test, there = train.without(kept_back), there - len(kept_back)
    if len(test.index) == len(train.index):
      raise TooFewPrompts(f"{path} has {prompt_keys.none_left(train.keys, held_out)}")
  kept_back = test.keys if test else train.keys[:0]
  train.drop(kept_back)
  if not len(train.index):
    raise ValueError(f"{path} has no row to train on")
  if (found := len(np.unique(kept_back))) < held_out:
    raise TooFewPrompts(f"{path} holds out only {found:,} prompts", found)
  held = (test or train).rows(tokenizer, limits)
  groups = held.tokens(range(len(held)) if test else ())
  return TextData(path, train.rows(tokenizer, limits), groups, tuple(problems), there)


class _Half:
  """The rows of a split that a run may use, fewer and fewer."""

  def __init__(self, table: RowTable, scored: bool, index: np.ndarray | None = None):
    self._table, self._scored = table, scored
    self._wanted = table.sizes > 0 if scored else table.answered
    self.index = np.flatnonzero(self._wanted) if index is None else index

  @property
  def count(self) -> int:
    """All rows of the split, bad ones as well."""
    return len(self._table) + len({problem.where for problem in self._table.problems})

  @property
  def problems(self) -> list[Problem]:
    """Of the rows that are none, or not of the kind that is wanted."""
    pair = "no response ('responses', or 'chosen' and 'rejected')"
    what = pair if self._scored else "no 'answer'"
    others = (self._table.rows[int(i)] for i in np.flatnonzero(~self._wanted))
    return [*self._table.problems, *(Problem(row.where, what) for row in others)]

  @property
  def keys(self) -> Keys:
    return self._table.keys[self.index]

  def keep(self, keys: Keys) -> None:
    """The rows of these prompts alone."""
    self.index = self.index[np.isin(self.keys, keys)]

  def drop(self, keys: Keys) -> None:
    """All but the rows of these prompts."""
    self.index = self.index[~np.isin(self.keys, keys)]

  def without(self, keys: Keys) -> "_Half":
    """Those that `drop` leaves out."""
    return _Half(self._table, self._scored, self.index[np.isin(self.keys, keys)])

  def refuse(self, tokenizer: Tokenizer, limits: Limits, folder: str) -> list[Problem]:
    """Leaves out the rows that this run cannot use; says why, of each."""

    def compute() -> list[tuple[int, Problem]]:
      with long_work.told("checking rows", len(self.index)) as done:
        return text_rows.refused(self._table.rows, self.index, tokenizer, limits, done)

    of_rows = hashlib.sha256(self.index.tobytes()).hexdigest()
    about = f"{tokenizer.digest} {limits} {of_rows}" if folder else ""
    found = row_cache.remembered(folder, about, compute)
    self.index = self.index[~np.isin(self.index, [i for i, _ in found])]
    return [problem for _, problem in found]

  def rows(self, tokenizer: Tokenizer, limits: Limits) -> TextRows:
    return TextRows(self._table, self.index, tokenizer, limits)
