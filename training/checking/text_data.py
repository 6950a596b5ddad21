"""Data sets of texts that a config names: found, read, put into tokens and checked, before jax.

A name is a file (.jsonl, .jsonl.gz, .parquet), a folder of tensorflow-datasets, or a data set that
`python -m tasks.build` built. All that is wrong with its rows is said at once.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence

from ml_collections import ConfigDict

from tasks import group_dataset
from tasks.datasets import DATA_SETS, reading, sources
from tasks.rows import row_files, text_groups
from tasks.rows.row import BadRows, Problem, Row, some_prompts, split_by_prompt
from tasks.rows.text_groups import TextGroups
from tasks.tokenizers.tokenizer import CharTokenizer, Tokenizer
from training.checking import pretrained_model
from training.errors import UserError, did_you_mean, nearest


@dataclasses.dataclass(frozen=True)
class TextData:
  """A data set for one run: what it trains on, what is held out, and what was left out."""

  path: str
  train: TextGroups
  held_out: TextGroups  # of no groups, where the run evaluates on something else
  problems: tuple[Problem, ...]  # of bad rows, which the config lets skip


def is_text(name: str) -> bool:
  """Whether offline.dataset means texts, rather than a folder of groups that a run collected."""
  return bool(name) and not group_dataset.is_one(name)


def locate(field: str, name: str, data_dir: str) -> str:
  """The file or folder that a name means. UserError, naming the field, if there is none."""
  if os.path.isfile(name) or reading.is_data_set(name):
    return os.path.abspath(name)
  if name in DATA_SETS or name.startswith("local_"):
    try:
      return reading.folder_of(name, data_dir or reading.default_data_dir())
    except reading.NotBuilt as error:
      raise UserError(f"{field}={name!r}: {error}") from None
  if os.path.isdir(name):
    raise UserError(f"{field}={name!r}: no data set is there (it would hold dataset_info.json)")
  hint = did_you_mean(nearest(name, DATA_SETS)) or f" Built by name: {', '.join(DATA_SETS)}."
  raise UserError(f"{field}={name!r}: no such file or folder.{hint}")


def load(config: ConfigDict, field: str, name: str, *, groups: bool, held_out: int) -> TextData:
  """The data set `name`, which `field` of the config gives, in the tokens of the config's model.

  Args:
    groups: of scored responses; else of prompts with answers.
    held_out: distinct prompts to hold out: of the data set's test split if it has one.
  Raises:
    UserError: with all bad rows, if they may not be skipped.
  """
  path = locate(field, name, config.data.dir)
  try:
    tokenizer = pretrained_model.tokenizer_of(config) or CharTokenizer()
  except ValueError as error:
    raise UserError(str(error)) from None
  return _load(
    field,
    path,
    fingerprint(path),
    tokenizer,
    groups=groups,
    held_out=held_out,
    most_prompts=config.task.train_prompts,
    group_size=config.group_size if groups else 1,
    max_tokens=config.sampling.max_tokens,
    max_prompt_tokens=config.data.max_prompt_tokens,
    skip_bad_rows=config.data.skip_bad_rows,
  )


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
def _load(
  field: str,
  path: str,
  fingerprint: str,
  tokenizer: Tokenizer,
  *,
  groups: bool,
  held_out: int,
  most_prompts: int,
  group_size: int,
  max_tokens: int,
  max_prompt_tokens: int,
  skip_bad_rows: bool,
) -> TextData:
  del fingerprint  # of the content, so that what changed is read anew
  try:
    train, test, problems = _rows(path, groups)
  except (row_files.RowFileError, reading.NotBuilt) as error:
    raise UserError(f"{field}: {error}") from None
  if not held_out:
    test = []
  # What the run can't use need not be put into tokens.
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
    rows = len({problem.where for problem in problems})
    raise UserError(
      f"{field}: {rows:,} bad rows in {path}; --config.data.skip_bad_rows=True leaves them out:\n"
      f"{BadRows(problems)}"
    )
  if not test and held_out:
    try:
      train, test = split_by_prompt(tokens.rows, held_out)
    except ValueError as error:
      raise UserError(f"{field}: {path} has {error} (task.eval_prompts)") from None
  kept_back = {row.prompt for row in test}
  halves = ([], [])
  for n, row in enumerate(tokens.rows):
    halves[row.prompt in kept_back].append(n)
  if not halves[0]:
    raise UserError(f"{field}: {path} has no row to train on")
  found = len({tokens.rows[n].prompt for n in halves[1]})
  if found < held_out:
    raise UserError(
      f"{field}: {path} holds out only {found:,} prompts; set --config.task.eval_prompts={found}"
    )
  train_groups, test_groups = (tokens.take(half) for half in halves)
  return TextData(path, train_groups, test_groups, tuple(problems))


def _rows(path: str, groups: bool) -> tuple[list[Row], list[Row], list[Problem]]:
  """(train, test, problems); the rows that are of the kind that is asked for."""
  problems: list[Problem] = []
  test: Sequence[Row] = []
  if os.path.isfile(path):
    train, problems = row_files.read(path)
  else:
    try:
      splits = {split: reading.read_all(path, split) for split in reading.splits_of(path)}
    except BadRows as bad:
      raise row_files.RowFileError(str(bad)) from None
    train, test = splits.get("train", []), splits.get("test", [])
  wanted = "no response ('responses', or 'chosen' and 'rejected')" if groups else "no 'answer'"
  good = []
  for rows in (train, test):
    is_wanted = [bool(row.responses if groups else row.answer) for row in rows]
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
