"""One task as something to call: found, its signature checked, and safe to call."""

import dataclasses
import inspect
import os
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from tasks import TASKS, functions, reasoning
from tasks.items import Item, Traits
from tasks.reasoning_gym_package import data_sets, options_of
from tasks.rewards import QUICK
from tasks.slips import did_you_mean, nearest, nearest_function

# A task may look at these, by the names of its arguments.
ARGUMENTS = (
  "prompts",  # int, how many distinct prompts are wanted, to train and to evaluate on together
  "tokenizer",  # the model's: whether it chats, how many tokens a text has
  "rows",  # the rows of config.task.data, one a prompt: prompts with answers
  "scored_rows",  # the same, for rows that hold responses with scores
)
ROWS = ARGUMENTS[2:]  # either makes it a task of texts


@dataclasses.dataclass(frozen=True)
class TaskFunction:
  """A function with its options. Equal for equal ones, so that prompts are made once."""

  name: str  # as config.task.name has it
  function: Callable
  takes: tuple[str, ...]  # of ARGUMENTS
  options: tuple[tuple[str, Any], ...]
  traits: Traits = Traits()
  quick: frozenset[str] = QUICK  # rewards that are scored in the process that asks

  def __call__(self, known: Mapping[str, Any]) -> Iterator[Item]:
    """The items. `known` has all that it takes. ValueError, with the line, when it raises."""
    try:
      yield from self.function(**{name: known[name] for name in self.takes}, **dict(self.options))
    except Exception as error:  # the user's code may raise anything
      if ":" not in self.name and isinstance(error, ValueError):
        raise  # ours says what is wrong
      fault = f"{self.name} raised {type(error).__name__}: {error}"
      raise ValueError(fault + _line_of(error, self.function)) from error


def find(name: str, options: Mapping[str, Any] | None = None) -> TaskFunction:
  """The task of this name. ValueError when there is none, or the options do not fit it."""
  given = dict(options or {})
  if is_of_reasoning_gym(name):
    check_reasoning_gym(name, given)
    bound = given or reasoning.DEFAULT_OPTIONS.get(name, {})
    takes = ("name", "prompts", "tokenizer")
    # The scorers of those with short prompts only compare texts.
    quick = QUICK | {"scorer"} if name in reasoning.SHORT_PROMPTS else QUICK
    function = reasoning.prompts_of
    beside = reasoning.TRAITS.get(name, Traits())
    return TaskFunction(name, function, takes, tuple(bound.items()), beside, quick)
  function = functions.imported(place_of(name))
  signature = inspect.signature(function)
  takes, bound = looked_at(name, signature), bound_options(name, given, signature)
  beside = getattr(function, "traits", Traits())
  return TaskFunction(name, function, takes, tuple(bound.items()), beside)


def names() -> list[str]:
  """The table's, and those of the installed reasoning-gym, without importing it."""
  return [*TASKS, *data_sets()]


def is_of_reasoning_gym(name: str) -> bool:
  """Whether it is one of its data sets, and none of the table nor a `module:function`."""
  return ":" not in name and name not in TASKS and name in data_sets()


def place_of(name: str) -> str:
  """Its "module:function". ValueError, with what it may be a slip for, when there is none."""
  if name not in TASKS and ":" not in name:
    hint = did_you_mean(nearest_function(name, names())) or " Try spell_backward or chain_sum."
    raise ValueError(
      f"neither {', '.join(TASKS)} nor one of reasoning-gym's {len(data_sets())} data sets.{hint} "
      "(Your own: module:function)"
    )
  return TASKS.get(name, name)


def looked_at(name: str, signature: inspect.Signature) -> tuple[str, ...]:
  """Its positional arguments. ValueError for one that is none of ARGUMENTS."""
  found = functions.looked_at(name, "a task", signature, ARGUMENTS)
  if {*ROWS} <= {*found}:
    raise ValueError(f"{name} takes both {' and '.join(ROWS)}: a data set is of one kind")
  return found


def bound_options(
  name: str, given: Mapping[str, Any], signature: inspect.Signature
) -> dict[str, Any]:
  """The options that the function is called with. ValueError when they do not fit."""
  options = functions.bound_options(name, given, signature, "--config.task.options={}=...")
  _check_hashable(name, options)
  return options


def check_reasoning_gym(name: str, given: Mapping[str, Any]) -> None:
  """ValueError for an option that the data set does not have. Its values it checks itself."""
  known = options_of(name)
  for option in given:
    if option not in known:
      hint = did_you_mean(nearest(option, known)) or f" It has {', '.join(known)}."
      raise ValueError(f"{name} has no option {option!r}.{hint}")
  _check_hashable(name, given)


def _check_hashable(name: str, options: Mapping[str, Any]) -> None:
  """ValueError for a value that could change: a task is made once for equal options."""
  for option, value in options.items():
    if not isinstance(value, Hashable):
      raise ValueError(f"{name}: {option}={value!r} is no number, text, tuple, true or false")


def _line_of(error: Exception, function: Callable) -> str:
  """ " (mine.py line 7)", where in the function's file it came from; "" if that is not known."""
  path = getattr(getattr(function, "__code__", None), "co_filename", "")
  lines = [at.lineno for at in traceback.extract_tb(error.__traceback__) if at.filename == path]
  return f" ({os.path.basename(path)} line {lines[-1]})" if lines else ""
