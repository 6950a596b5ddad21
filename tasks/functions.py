"""Functions that are named as "module:function": imported, their arguments and options checked.

Rewards and tasks are such functions. Positional arguments are words of a vocabulary and say what a
function looks at; keyword-only arguments are its options.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.slips import did_you_mean, nearest, nearest_function


def imported(place: str) -> Callable[..., Any]:
  """The function at "module:function", looked for in the working directory as well.

  ValueError when there is no such module, or function in it.
  """
  module, _, function = place.partition(":")
  if os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  try:
    found = getattr(importlib.import_module(module), function)
  except Exception as error:  # the user's module may raise anything
    reason = f"{type(error).__name__}: {error}"
    raise ValueError(f"cannot import {place} from {os.getcwd()}: {reason}") from error
  if not callable(found):
    raise ValueError(f"{place} is no function: {found!r:.60}")
  return found


def looked_at(
  name: str, kind: str, signature: inspect.Signature, vocabulary: Sequence[str]
) -> tuple[str, ...]:
  """The positional arguments, in order. ValueError for one that is not in the vocabulary.

  `kind`: of function, as in "none that a reward may ask for".
  """
  found = []
  for argument, parameter in signature.parameters.items():
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name)
    if stars:
      raise ValueError(f"{name} takes {stars}{argument}: write its arguments and options out")
    if parameter.kind == parameter.KEYWORD_ONLY:
      continue
    if argument not in vocabulary:
      hint = did_you_mean(nearest(argument, vocabulary))
      raise ValueError(
        f"{name}: its argument {argument!r} is none that {kind} may ask for.{hint} "
        f"({', '.join(vocabulary)}; options go after a `*`)"
      )
    found.append(argument)
  return tuple(found)


def options_of(signature: inspect.Signature) -> dict[str, inspect.Parameter]:
  """The keyword-only parameters by name."""
  found = signature.parameters.items()
  return {name: option for name, option in found if option.kind == option.KEYWORD_ONLY}


def bound_options(
  name: str, given: Mapping[str, Any], signature: inspect.Signature, spelling: str
) -> dict[str, Any]:
  """The options that a function is called with: those given, else the defaults.

  Args:
    spelling: how one is given, with {} for its name: "length({}=...)".
  Raises:
    ValueError: an option is unknown, missing, or of another type than its default or annotation.
  """
  parameters = options_of(signature)
  options = {option: parameter.default for option, parameter in parameters.items()}
  for option, value in given.items():
    if option not in options:
      hint = did_you_mean(nearest(option, options)) or f" It has {', '.join(options) or 'none'}."
      raise ValueError(f"{name} has no option {option!r}.{hint}")
    options[option] = _converted(f"{name}: {option}", value, parameters[option])
  for option, value in options.items():
    if value is inspect.Parameter.empty:
      raise ValueError(f"{name} needs {option}: write {spelling.format(option)}")
  return options


def place_in(table: Mapping[str, str], kind: str, name: str) -> str:
  """Its "module:function". ValueError, with what it may be a slip for, when there is none.

  `kind`: of function, as in "no reward 'exat'".
  """
  if name not in table and ":" not in name:
    hint = did_you_mean(nearest_function(name, table)) or f" There are {', '.join(table)}."
    raise ValueError(f"no {kind} {name!r}.{hint} (Your own: module:function)")
  return table.get(name, name)


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
