"""Rows that people wrote, as the groups of a round.

They lie in the deployment's feedback/: service.jsonl, which `serving` writes, and any other JSONL
or Parquet file that somebody puts there. Each row is taken once, in the order of the files' names;
so files may be added and may grow, but must not shrink.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from rounds.deployment import Waiting
from tasks.datasets.text_groups import kept_responses, tokenize
from tasks.files import row_files
from tasks.files.record_formats import RowFileError
from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Prompt, Row
from tasks.task import Task
from training.errors import UserError

KINDS = (".jsonl", ".jsonl.gz", ".parquet")
Taken = Mapping[str, int]  # file -> how many of its rows earlier rounds took


@dataclasses.dataclass(frozen=True)
class Tokens:
  """The tokens that the policy really wrote: other tokens may spell the same text."""

  tokens: list[list[int]]
  finished: list[bool]


@dataclasses.dataclass(frozen=True)
class Feedback:
  """Rows to train on, in order, and how many rows of each file are used up with them."""

  rows: list[Row]
  written: dict[str, Tokens]  # by the row's `where`
  taken: dict[str, int]  # as Taken, for the next round
  held_out: int  # rows passed over, because evaluation uses their prompt


def take(folder: str, taken: Taken, count: int | None, held_out: set[Prompt]) -> Feedback:
  """Takes the next `count` rows; None: all there are.

  Raises:
    Waiting: there are fewer.
    UserError: the files have bad rows; the message lists them all.
  """
  rows, written, ends, passed = [], {}, dict(taken), 0
  problems: list[Problem] = []
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  for name in (name for name in names if name.endswith(KINDS)):
    found, tokens, wrong = _read(os.path.join(folder, name))
    problems += wrong
    if not wrong and len(found) < taken.get(name, 0):
      raise UserError(
        f"{os.path.join(folder, name)}: {len(found)} rows, and {taken[name]} were trained on; "
        "files of feedback only grow"
      )
    written |= tokens
    for row in found[taken.get(name, 0) :]:
      if len(rows) == count:
        break
      ends[name] = ends.get(name, 0) + 1
      if row.prompt in held_out:
        passed += 1
      else:
        rows.append(row)
  if problems:
    raise UserError(f"{folder}:\n{BadRows(problems)}")
  if count is not None and len(rows) < count:
    raise Waiting(f"waiting for rows: {len(rows)} of {count} new ones in {folder}")
  return Feedback(rows, written, ends, passed)


def of_file(path: str, held_out: set[Prompt]) -> Feedback:
  """All rows of one file, in any spelling, those of a single response too.

  UserError: it has bad rows; the message lists them all.
  """
  rows, written, problems = _read(path, least=1)
  if problems:
    raise UserError(f"{path}:\n{BadRows(problems)}")
  kept = [row for row in rows if row.prompt not in held_out]
  return Feedback(kept, written, {}, len(rows) - len(kept))


def _read(path: str, least: int = 2) -> tuple[list[Row], dict[str, Tokens], list[Problem]]:
  """Returns the rows of a file, the tokens that some bring, and the problems of others.

  A row of fewer than `least` responses is a problem.
  """
  if os.path.getsize(path) == 0:
    return [], {}, []
  written: dict[str, Tokens] = {}

  def parse(record: Any, where: str) -> Row:
    row = row_spellings.parse(record, where)
    if len(row.responses) < least:
      raise BadRows([Problem(where, "no two responses to compare")])
    if "tokens" in record and row.logps is not None:
      written[where] = Tokens(record["tokens"], record.get("finished", [True] * len(row.responses)))
    return row

  try:
    rows, problems = row_files.read(path, parse)
  except RowFileError as error:
    return [], {}, [Problem(os.path.basename(path), str(error))]
  being_written = _half_line(path)
  return rows, written, [problem for problem in problems if problem.where != being_written]


def _half_line(path: str) -> str:
  """Returns `where` of a JSONL file's last line if it has no end: it is still being written."""
  if not path.endswith(".jsonl"):
    return ""
  with open(path, "rb") as file:
    content = file.read()
  lines = content.count(b"\n")
  return "" if content.endswith(b"\n") else f"{os.path.basename(path)} row {lines + 1}"


def groups_of(
  feedback: Feedback, task: Task, *, group_size: int, max_tokens: int, max_prompt_tokens: int
) -> tuple[list[dict[str, Any]], Bool[np.ndarray, " N"]]:
  """Turns the rows into groups of a data set; also returns which have known log-probs.

  Rows that bring tokens keep them, and the texts of the others are tokenized, each with its end.
  Raises UserError, naming the rows, if the tokenizer cannot encode them.
  """
  own = {
    row.where: tokens
    for row in feedback.rows
    if (tokens := feedback.written.get(row.where)) and _is_of(tokens, row, task)
  }
  # Rows with tokens go without their text: a policy may draw tokens whose text cannot be encoded.
  texts = [
    dataclasses.replace(row, logps=None, responses=("",) * len(row.responses))
    if row.where in own
    else row
    for row in feedback.rows
  ]
  groups, problems = tokenize(
    texts,
    task.tokenizer,
    group_size=group_size,
    max_tokens=max_tokens,
    max_prompt_tokens=max_prompt_tokens,
  )
  if problems:
    raise UserError(str(BadRows(problems)))
  known = groups.known.copy()
  for n, row in enumerate(feedback.rows):
    if found := own.get(row.where):
      assert row.logps is not None
      known[n] = True
      for k, i in enumerate(kept_responses(row.scores, group_size)):
        ids = found.tokens[i]
        kept = len(ids[:max_tokens])
        groups.responses[n, k, :kept] = ids[:max_tokens]
        groups.mask[n, k] = np.arange(max_tokens) < kept
        groups.logps[n, k, :kept] = row.logps[i][:max_tokens]
        groups.finished[n, k] = found.finished[i] and kept == len(ids)
  names = ("responses", "mask", "finished", "rewards", "logps")
  rows = [
    {"prompt": row.prompt, "answer": ""} | {name: getattr(groups, name)[n] for name in names}
    for n, row in enumerate(feedback.rows)
  ]
  return rows, known


def _is_of(tokens: Tokens, row: Row, task: Task) -> bool:
  """Whether these tokens spell the row's responses in this tokenizer, with a log-prob for each."""
  if row.logps is None:
    return False
  try:
    spelled = [task.tokenizer.decode(ids) for ids in tokens.tokens]
  except (IndexError, TypeError, ValueError):  # of another model, or no tokens at all
    return False
  lengths = [len(ids) for ids in tokens.tokens] == [len(logps) for logps in row.logps]
  return lengths and spelled == list(row.responses) and len(tokens.finished) == len(spelled)
