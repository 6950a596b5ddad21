"""One reward of a sum as something to call: found, its signature checked, and safe to call."""

import inspect
import math
import re
from collections.abc import Mapping
from typing import Any

from tasks import functions
from tasks.functions import imported
from tasks.rewards import REWARDS
from tasks.spelling import Term

# A reward may look at these, by the names of its arguments.
ARGUMENTS = (
  "completion",  # str, the response's text, without the end of sequence
  "prompt",  # what was asked, as the task has it
  "answer",  # str, the known answer; "" in a task without
  "entry",  # dict, what the task's source says of the prompt beside
)

_LARGEST = 3.4e38  # more is infinite in float32

# The reward (NaN: unscored), and a fault if there was one.
Outcome = tuple[float, str]


class RewardFunction:
  """A term's function with its options. ValueError when it cannot be had, or called so."""

  def __init__(self, term: Term):
    self._function = imported(place_of(term.name))
    signature = inspect.signature(self._function)
    self._options = bound_options(term, signature)
    self.takes = tuple(name for name in signature.parameters if name in ARGUMENTS)

  def __call__(self, response: Mapping[str, Any]) -> Outcome:
    """Scores a response, which has all ARGUMENTS. An exception, or no number, is an outcome."""
    try:
      value = self._function(**{name: response[name] for name in self.takes}, **self._options)
      if value is None:
        return math.nan, ""
      if not hasattr(value, "__float__"):  # float("1") would take text
        return math.nan, f"gave no number: {value!r:.60}"
      reward = float(value)
    except Exception as error:  # the user's code may raise anything
      return math.nan, f"raised {type(error).__name__}: {str(error)[:200]}"
    return (math.nan, f"gave no finite number: {value}") if abs(reward) > _LARGEST else (reward, "")


def bound_options(term: Term, signature: inspect.Signature) -> dict[str, Any]:
  """The options that the function is called with. ValueError when they, or it, do not fit."""
  takes = functions.looked_at(term.name, "a reward", signature, ARGUMENTS)
  if "completion" not in takes:
    raise ValueError(f"{term.name}: takes no `completion`, so it cannot score one")
  options = term.bound_options(signature)
  if not term.is_own and "pattern" in options:
    try:
      re.compile(options["pattern"])
    except re.error as error:
      raise ValueError(f"{term.name}: the pattern {options['pattern']!r}: {error}") from None
  return options


def place_of(name: str) -> str:
  """Its "module:function". ValueError, with what it may be a slip for, when there is none."""
  return functions.place_in(REWARDS, "reward", name)
