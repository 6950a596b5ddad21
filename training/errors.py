"""Errors that a person reads in a line or two, without a traceback.

Exit codes of every command: 0 done, 1 some runs of a sweep failed, 2 a UserError, 3 Diverged,
130 interrupted.
"""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
  """Says what is wrong, where, and what to type instead; one problem a line."""


class Diverged(Exception):
  """Training left the finite numbers; the message names the metric, step and last checkpoint."""


class Stopped(Exception):
  """Whoever watches a run ended it early; the message says why. The run did not fail."""


def nearest(word: str, choices: Iterable[str]) -> list[str]:
  """The choices that `word` may be a slip for, nearest first; at most three."""
  return difflib.get_close_matches(word, list(choices), n=3, cutoff=0.6)


def did_you_mean(choices: Sequence[str]) -> str:
  """The end of a message, " Did you mean a or b?"; empty if there is nothing to choose from."""
  return f" Did you mean {' or '.join(choices)}?" if choices else ""


def choose(key: str, value: object, choices: Iterable[object]) -> str:
  """ "key='x': choose one of a, b. Did you mean a?" """
  words = [str(choice) for choice in choices]
  hint = did_you_mean(nearest(str(value), words))
  return f"{key}={value!r}: choose one of {', '.join(words)}.{hint}"
