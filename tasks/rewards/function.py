"""One reward of a sum as something to call: found, its signature checked, and safe to call."""

import difflib
import importlib
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tasks.rewards import REWARDS
from tasks.rewards.spelling import Term

# What a reward may look at, by the names of its arguments.
ARGUMENTS = (
  "completion",  # str, the response's text, without the end of sequence
  "prompt",  # what was asked, as the task has it
  "answer",  # str, the known answer; "" in a task without
  "entry",  # dict, what the task's source says of the prompt beside
)

_LARGEST = 3.4e38  # more is infinite in float32

# What a reward gave (NaN: unscored), and what went wrong, if anything did.
Outcome = tuple[float, str]


class RewardFunction:
  """A term's function with its options. ValueError when it cannot be had, or called so."""

  def __init__(self, term: Term):
    self._function = imported(place_of(term.name))
    signature = inspect.signature(self._function)
    self._options = bound_options(term, signature)
    self.takes = tuple(name for name in signature.parameters if name in ARGUMENTS)

  def __call__(self, response: Mapping[str, Any]) -> Outcome:
    """Of a response with all ARGUMENTS. An exception, or no number, is an outcome."""
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
  options = {}
  for name, parameter in signature.parameters.items():
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
      raise ValueError(f"{term.name} takes {parameter}: write its arguments and options out")
    if parameter.kind == parameter.KEYWORD_ONLY:
      options[name] = parameter.default
    elif name not in ARGUMENTS:
      raise ValueError(
        f"{term.name}: its argument {name!r} is none that a reward may ask for."
        f"{_did_you_mean(name, ARGUMENTS)} ({', '.join(ARGUMENTS)}; options go after a `*`)"
      )
  if "completion" not in signature.parameters:
    raise ValueError(f"{term.name}: takes no `completion`, so it cannot judge one")
  given = {name or next(iter(options), "options"): value for name, value in term.options}
  for name, value in given.items():
    if name not in options:
      hint = _did_you_mean(name, options) or f" It has {', '.join(options) or 'none'}."
      raise ValueError(f"{term.name} has no option {name!r}.{hint}")
    options[name] = _converted(f"{term.name}: {name}", value, signature.parameters[name])
  missing = [name for name, value in options.items() if value is inspect.Parameter.empty]
  if missing:
    raise ValueError(f"{term.name} needs {missing[0]}: write {term.name}({missing[0]}=...)")
  if not term.is_own and "pattern" in options:
    try:
      re.compile(options["pattern"])
    except re.error as error:
      raise ValueError(f"{term.name}: the pattern {options['pattern']!r}: {error}") from None
  return options


def _converted(what: str, value: Any, parameter: inspect.Parameter) -> Any:
  """The value as its default, or else its annotation, wants it. ValueError if it cannot be."""
  default, annotation = parameter.default, parameter.annotation
  kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
  if default is not parameter.empty and default is not None:
    kind = type(default).__name__
  if kind == "float" and type(value) is int:
    return float(value)
  if kind in ("bool", "int", "float", "str") and type(value).__name__ != kind:
    raise ValueError(f"{what} is {kind}; {value!r} is not")
  return value


def place_of(name: str) -> str:
  """Its "module:function". ValueError, with what it may be a slip for, when there is none."""
  if name not in REWARDS and ":" not in name:
    hint = _did_you_mean(name, REWARDS) or f" There are {', '.join(REWARDS)}."
    raise ValueError(f"no reward {name!r}.{hint} (Your own: module:function)")
  return REWARDS.get(name, name)


def imported(place: str) -> Callable[..., Any]:
  """The function at "module:function", looked for in the working directory as well.

  ValueError when there is no such module, or function in it.
  """
  module, _, function = place.partition(":")
  if os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  try:
    return getattr(importlib.import_module(module), function)
  except Exception as error:  # the user's module may raise anything
    reason = f"{type(error).__name__}: {error}"
    raise ValueError(f"cannot import {place} from {os.getcwd()}: {reason}") from error


def _did_you_mean(word: str, choices) -> str:
  near = difflib.get_close_matches(word, list(choices), n=3)
  return f" Did you mean {' or '.join(near)}?" if near else ""
