"""Rows for one run, put into tokens when they are asked for: few of many rows are, in most runs."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Int

from tasks.datasets import text_groups
from tasks.datasets.text_groups import TextGroups
from tasks.files.row_table import RowTable
from tasks.rows.prompt_keys import Keys
from tasks.rows.row import BadRows, Problem, Row
from tasks.tokenizers.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Limits:
  """The limits of a run, beyond which a row is cut or refused."""

  group_size: int  # K
  max_tokens: int  # of a response, its end included; what is longer is cut
  max_prompt_tokens: int  # a row with a longer prompt is a bad row


@dataclasses.dataclass(frozen=True, eq=False)
class TextRows:
  """N of the rows of a table, none of them refused."""

  table: RowTable
  index: Int[np.ndarray, " N"]  # their places in the table
  tokenizer: Tokenizer
  limits: Limits
  _kept: dict[bytes, TextGroups] = dataclasses.field(default_factory=dict, repr=False)

  def __len__(self) -> int:
    return len(self.index)

  @property
  def keys(self) -> Keys:
    """Of the prompts."""
    return self.table.keys[self.index]

  @property
  def count_known(self) -> int:
    """Rows that say their log-probs."""
    return int(self.table.known[self.index].sum())

  def rows(self, which: Iterable[int] | Int[np.ndarray, " n"]) -> list[Row]:
    """Those at these places, of 0 to N - 1."""
    return [self.table.rows[int(self.index[i])] for i in which]

  def tokens(self, which: Iterable[int] | Int[np.ndarray, " n"]) -> TextGroups:
    """The same in tokens. The last ones are kept: they are checked, described and trained on."""
    wanted = np.fromiter(which, np.int64)
    if wanted.tobytes() not in self._kept:
      limits = dataclasses.asdict(self.limits)
      groups, problems = text_groups.tokenize(self.rows(wanted), self.tokenizer, **limits)
      if problems:  # `refused` should have had them
        raise BadRows(problems)
      self._kept.clear()
      self._kept[wanted.tobytes()] = groups
    return self._kept[wanted.tobytes()]


def refused(
  rows: Sequence[Row],
  which: Int[np.ndarray, " n"],
  tokenizer: Tokenizer,
  limits: Limits,
  advance: Callable[[int], None],
) -> list[tuple[int, Problem]]:
  """The problems that these rows have with this tokenizer: (place, problem).

  Puts few of them into tokens. Takes 20 microseconds a row and more.

  Args:
    advance: called now and then with how many rows were looked at.
  """
  found = []
  for number, i in enumerate(which):
    row = rows[int(i)]
    if number % 1000 == 0:  # a bar that is drawn for each row would take longer than the row
      advance(number)
    if _is_clear(row, tokenizer, limits):
      continue
    _, problems = text_groups.tokenize([row], tokenizer, **dataclasses.asdict(limits))
    found += [(int(i), problem) for problem in problems]
  return found


def _is_clear(row: Row, tokenizer: Tokenizer, limits: Limits) -> bool:
  """Whether it is certain, without tokens, that the row is none to refuse."""
  if row.logps is not None:  # they must be as many as there are tokens
    return False
  try:
    return tokenizer.most_prompt_tokens(row.prompt) <= limits.max_prompt_tokens and all(
      tokenizer.takes(text) for text in row.responses
    )
  except ValueError:
    return False
