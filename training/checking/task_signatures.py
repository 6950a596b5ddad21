"""A task's arguments, options and traits, read from its source: a config is checked in no time.

A task is a name of tasks.TASKS, a data set of reasoning-gym, or "module.path:function" for one of
your own. Its positional arguments are words of tasks.task_functions.ARGUMENTS, its keyword-only
ones the options of config.task.options.
"""

import ast
import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tasks import TASKS, reasoning, task_functions
from tasks.functions import options_of
from tasks.items import Traits
from tasks.slips import did_you_mean, nearest
from tasks.task_functions import ROWS
from training.checking import own_functions
from training.errors import UserError

_TRAITS = [field.name for field in dataclasses.fields(Traits)]


@dataclasses.dataclass(frozen=True)
class TaskSignature:
  """`signature` is the function's; None for reasoning-gym's data sets."""

  name: str
  takes: tuple[str, ...]
  traits: Traits
  signature: inspect.Signature | None = None

  @property
  def reads_rows(self) -> bool:
    """Whether it is made of rows of texts (config.task.data)."""
    return bool({*ROWS} & {*self.takes})

  @property
  def is_scored(self) -> bool:
    """Whether the rows hold responses with scores, to train on and to evaluate by."""
    return "scored_rows" in self.takes

  @property
  def is_of_reasoning_gym(self) -> bool:
    """Whether it is one of reasoning-gym's data sets."""
    return self.signature is None

  @property
  def has_options(self) -> bool:
    """Whether config.task.options may hold anything."""
    return self.signature is None or bool(options_of(self.signature))

  def check_options(self, given: Mapping[str, Any]) -> None:
    """ValueError when these options do not fit."""
    if self.signature is None:
      task_functions.check_reasoning_gym(self.name, given)
    else:
      task_functions.bound_options(self.name, given, self.signature)


def of(config: ConfigDict) -> TaskSignature:
  """The signature of the config's task. UserError if there is none, or it cannot be one."""
  return read(config.task.name)


def read(name: str) -> TaskSignature:
  """The signature of the task of this name. UserError if there is none, or it cannot be one."""
  return _read(name) if ":" in name else _read_ours(name)


def reading_rows() -> list[str]:
  """The names of the table's tasks that are made of rows of texts."""
  return [name for name in TASKS if read(name).reads_rows]


def scored() -> list[str]:
  """The names of the table's tasks whose responses came with scores."""
  return [name for name in TASKS if read(name).is_scored]


def fill(config: ConfigDict) -> None:
  """Sets what the config leaves to the task: its reward, and what a base policy is taught.

  Not for a task that cannot be read: that is said when the config is checked.
  """
  with contextlib.suppress(UserError):
    traits = of(config).traits
    config.task.reward = config.task.reward or traits.reward
    config.base.demonstrations = config.base.demonstrations or traits.demonstrations


def label(name: str) -> str:
  """The name that folders are called by: of a function, without its module."""
  return name.rpartition(":")[2]


def _read(name: str) -> TaskSignature:
  try:
    if task_functions.is_of_reasoning_gym(name):
      return TaskSignature(name, ("prompts", "tokenizer"), reasoning.TRAITS.get(name, Traits()))
    place = task_functions.place_of(name)
  except ValueError as error:
    raise UserError(f"task.name={name!r}: {error}") from None
  try:
    module, function = _split(place)
    signature, _ = own_functions.signature(module, function)
    takes = task_functions.looked_at(name, signature)
    return TaskSignature(name, takes, _traits(name, module, function), signature)
  except (UserError, ValueError) as error:
    raise UserError(f"task.name: {error}") from None


_read_ours = functools.cache(_read)


def _split(place: str) -> tuple[str, str]:
  return own_functions.split(place, "mylab.tasks:countdown")


def _traits(name: str, module: str, function: str) -> Traits:
  """The traits beside the function, read where they can be and imported where not."""
  tree = own_functions.module_tree(module)
  for node in tree.body if tree else []:
    if isinstance(node, ast.FunctionDef) and node.name == function:
      given = _literals(name, node.decorator_list)
      if given is not None:
        return Traits(**given)
  return getattr(own_functions.load(module, function), "traits", Traits())


def _literals(name: str, decorators: list[ast.expr]) -> dict[str, Any] | None:
  """The arguments of `@traits(...)`; {} without a decorator; None for any other."""
  if not decorators:
    return {}
  call = decorators[0]
  if len(decorators) > 1 or not isinstance(call, ast.Call) or call.args:
    return None
  if ast.unparse(call.func).rpartition(".")[2] != "traits":
    return None
  given = {}
  for keyword in call.keywords:
    if keyword.arg is None:
      return None
    if keyword.arg not in _TRAITS:
      hint = did_you_mean(nearest(keyword.arg, _TRAITS)) or f" There are {', '.join(_TRAITS)}."
      raise UserError(f"{name}: no trait {keyword.arg!r}.{hint}")
    try:
      given[keyword.arg] = ast.literal_eval(keyword.value)
    except ValueError:
      return None
  return given
