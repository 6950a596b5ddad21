"""Slips in a name: those that were perhaps meant, for the end of a message."""

import difflib
import re
from collections.abc import Iterable, Sequence


def nearest(word: str, choices: Iterable[str]) -> list[str]:
  """The choices that `word` may be a slip for, nearest first; at most three."""
  return difflib.get_close_matches(word, list(choices), n=3, cutoff=0.6)


def nearest_function(name: str, choices: Iterable[str]) -> list[str]:
  """The same of a function's name, which may be one's own, "module:function"."""
  return with_colon(name) or nearest(name, choices)


def with_colon(name: str) -> list[str]:
  """["mylab.tasks:countdown"] for "mylab.tasks.countdown"; [] for a name without a dot."""
  module, dot, function = name.rpartition(".")
  return [f"{module}:{function}"] if dot and re.fullmatch(r"[\w.]+", name) else []


def did_you_mean(choices: Sequence[str]) -> str:
  """The end of a message, " Did you mean a or b?"; empty if there is nothing to choose from."""
  return f" Did you mean {' or '.join(choices)}?" if choices else ""


def choose(key: str, value: object, choices: Iterable[object]) -> str:
  """ "key='x': choose one of a, b. Did you mean a?" """
  words = [str(choice) for choice in choices]
  hint = did_you_mean(nearest(str(value), words))
  return f"{key}={value!r}: choose one of {', '.join(words)}.{hint}"
