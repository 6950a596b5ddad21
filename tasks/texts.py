"""Tasks of rows of texts: a file of your own, or a data set that `python -m tasks.build` built."""

from collections.abc import Iterator, Sequence

from tasks.items import Item, traits
from tasks.rows.row import Row


@traits(reward="numeric", answers="compared")
def questions(rows: Sequence[Row]) -> Iterator[Item]:
  """The questions of config.task.data, with the numbers that answer them."""
  for row in rows:
    yield Item(row.prompt, row.answer)


@traits(reward="numeric", answers="compared", data="gsm8k")
def gsm8k(rows: Sequence[Row]) -> Iterator[Item]:
  """GSM8K (Cobbe et al., 2021): questions of grade-school maths, evaluated on its test split."""
  yield from questions(rows)


@traits(reward="none", answers="none", scores_unfinished=True)
def groups(scored_rows: Sequence[Row]) -> Iterator[Item]:
  """The prompts of groups of responses that came with scores: human preferences, a model's grades.

  A run trains on the groups, offline, and is evaluated by the pairs of held-out prompts. Nothing
  can score another response, unless config.task.reward says how.
  """
  for row in scored_rows:
    yield Item(row.prompt, row.answer)
