"""A data set of texts for one run: found by name, read, put into tokens, and split.

A name is a file (.jsonl, .jsonl.gz, .parquet), a folder of tensorflow-datasets, or a data set that
`python -m tasks.build` built. All that is wrong with its rows is said at once.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence

from tasks import functions, group_dataset
from tasks.datasets import DATA_SETS, reading, sources
from tasks.rows import row_files, row_spellings, text_groups
from tasks.rows.row import BadRows, Problem, Row, some_prompts, split_by_prompt
from tasks.rows.row_names import AS_SPELLED, RowNames
from tasks.rows.text_groups import TextGroups
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
  train: TextGroups
  held_out: TextGroups  # of no groups, where the run evaluates on something else
  problems: tuple[Problem, ...]  # of bad rows, where they may be skipped


def is_text(name: str) -> bool:
  """Whether a data set's name means texts, rather than a folder of groups that a run collected."""
  return bool(name) and not group_dataset.is_one(name)


def locate(name: str, data_dir: str) -> str:
  """The file or folder that a name means. ValueError if there is none."""
  if os.path.isfile(name) or reading.is_data_set(name):
    return os.path.abspath(name)
  if name in DATA_SETS or name.startswith("local_"):
    return reading.folder_of(name, data_dir or reading.default_data_dir())
  if os.path.isdir(name):
    raise ValueError("no data set is there (it would hold dataset_info.json)")
  hint = functions.did_you_mean(name, DATA_SETS) or f" Built by name: {', '.join(DATA_SETS)}."
  raise ValueError(f"no such file or folder.{hint}")


def fingerprint(path: str) -> str:
  """Hex digits that differ when the rows do. A folder that tasks.build made is named by them."""
  if os.path.isdir(path):
    path = os.path.join(path, "dataset_info.json")
    with open(path, "rb") as file:
      return hashlib.sha256(path.encode() + file.read()).hexdigest()
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
  *,
  scored: bool,
  held_out: int,
  most_prompts: int,
  group_size: int,
  max_tokens: int,
  max_prompt_tokens: int,
  skip_bad_rows: bool,
  names: RowNames = AS_SPELLED,
) -> TextData:
  """The data set at this path.

  Args:
    content: the path's `fingerprint`, so that a data set that has changed is read anew.
    scored: it holds responses with scores; else prompts with answers.
    held_out: distinct prompts to hold out: of the data set's test split if it has one.
    most_prompts: distinct prompts to train on, at most.
    max_tokens: of a response, its end included.
    names: the keys of a row's parts, in a file.

  Raises:
    BadRows: all of them, if they may not be skipped.
    TooFewPrompts: of those to hold out.
    ValueError: there is no data set of this kind, or nothing in it to train on.
  """
  del content
  train, test, problems = _rows(path, scored, names)
  read = len(train) + len(test)
  if not held_out:
    test = []
  # Prompts that the run can't use need not be put into tokens.
  most = most_prompts + (0 if test else held_out)
  train, test = _of_prompts(train, most), _of_prompts(test, held_out)
  tokens, too_long = text_groups.tokenize(
    [*train, *test],
    tokenizer,
    group_size=group_size,
    max_tokens=max_tokens,
    max_prompt_tokens=max_prompt_tokens,
  )
  problems += too_long
  if problems and not skip_bad_rows:
    raise BadRows(problems, good=read - len({problem.where for problem in too_long}))
  if not test and held_out:
    try:
      train, test = split_by_prompt(tokens.rows, held_out)
    except ValueError as error:
      raise TooFewPrompts(f"{path} has {error}") from None
  kept_back = {row.prompt for row in test}
  halves = ([], [])
  for n, row in enumerate(tokens.rows):
    halves[row.prompt in kept_back].append(n)
  if not halves[0]:
    raise ValueError(f"{path} has no row to train on")
  found = len({tokens.rows[n].prompt for n in halves[1]})
  if found < held_out:
    raise TooFewPrompts(f"{path} holds out only {found:,} prompts", found)
  train_groups, test_groups = (tokens.take(half) for half in halves)
  return TextData(path, train_groups, test_groups, tuple(problems))


def _rows(path: str, scored: bool, names: RowNames) -> tuple[list[Row], list[Row], list[Problem]]:
  """(train, test, problems); the rows that are of the kind that is asked for."""
  problems: list[Problem] = []
  test: Sequence[Row] = []
  if os.path.isfile(path):
    train, problems = row_files.read(path, functools.partial(row_spellings.parse, names=names))
  else:
    if names != AS_SPELLED:
      given = ", ".join(f"data.{part}" for part in names.given()) or "data.ignore"
      raise ValueError(f"{path} was built: its rows have no keys for {given} to name")
    try:
      splits = {split: reading.read_all(path, split) for split in reading.splits_of(path)}
    except BadRows as bad:
      raise row_files.RowFileError(str(bad)) from None
    train, test = splits.get("train", []), splits.get("test", [])
  wanted = "no response ('responses', or 'chosen' and 'rejected')" if scored else "no 'answer'"
  good = []
  for rows in (train, test):
    is_wanted = [bool(row.responses if scored else row.answer) for row in rows]
    good.append([row for row, is_good in zip(rows, is_wanted, strict=True) if is_good])
    problems += [
      Problem(row.where, wanted)
      for row, is_good in zip(rows, is_wanted, strict=True)
      if not is_good
    ]
  return good[0], good[1], problems


def _of_prompts(rows: list[Row], count: int) -> list[Row]:
  kept = some_prompts(rows, count)
  return [row for row in rows if row.prompt in kept]
