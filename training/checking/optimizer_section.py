"""The config's `optimizer` section: its optimizer, its schedule, and the numbers that are theirs.

Both are names of the tables in training/optimizer.py, or yours, as "module.path:function". Their
keyword-only arguments are numbers that only they read; with their defaults they join the section
beside what all share. All of it is read from the source text: no jax is imported.
"""

import ast
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict, FieldReference

from configs import common, config_values
from configs.config_values import is_number
from tasks.code import files
from tasks.slips import choose, did_you_mean, with_colon
from training.checking import field_names, loss_signatures, own_functions
from training.errors import UserError

_MODULE, _FILE = "training.optimizer", os.path.join(files.ROOT, "training", "optimizer.py")
_TABLES = {"name": "OPTIMIZERS", "schedule": "SCHEDULES"}  # by the field that chooses from it
_TAKES = {"name": [], "schedule": ["progress"]}  # beside its numbers

Chosen = dict[str, Any]  # {"name": "adamw", "schedule": "linear"}


@dataclasses.dataclass(frozen=True)
class Choice:
  """An optimizer or a schedule: where it is, and its own numbers with their defaults.

  `comments` are the numbers' lines of the docstring's Args; `limits` has a Range for those numbers
  whose type has one.
  """

  module: str
  function: str
  numbers: dict[str, float]
  comments: dict[str, str]
  limits: dict[str, Any]

  def load(self) -> Callable:
    """The function itself; UserError if its module cannot be imported."""
    return own_functions.load(self.module, self.function)


@functools.cache
def names(field: str) -> tuple[str, ...]:
  """The names that optimizer.<field> may be, in the order of the table."""
  for node in own_functions.parse(_FILE).body:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == _TABLES[field]:
      return tuple(ast.literal_eval(ast.List(getattr(node.value, "keys", []))))
  return ()


def read(field: str, value: Any) -> Choice:
  """The function of optimizer.<field>=value; UserError if there is none, or it cannot be called."""
  return _read_ours(field, value) if value in names(field) else _read(field, value)


def _read(field: str, value: Any) -> Choice:
  given, known = f"optimizer.{field}={value!r}", names(field)
  if value in known:
    module, function = _MODULE, value
  elif isinstance(value, str) and ":" in value:
    module, function = own_functions.split(value, "mylab.optim:adan")
  else:
    said = choose(f"optimizer.{field}", value, known)
    if dotted := with_colon(str(value)):
      said = f"optimizer.{field}={value!r}: no name of the table.{did_you_mean(dotted)}"
    raise UserError(f"{said} (Your own: module.path:function)")
  signature, doc = own_functions.signature(module, function)
  parameters = signature.parameters.values()
  positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
  if positional != _TAKES[field]:
    has, wanted = ", ".join(positional), ", ".join(_TAKES[field])
    raise UserError(f"{given} is called with ({wanted}), not ({has}); its numbers go after a `*`")
  numbers = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
  for name, default in numbers.items():
    if not is_number(default):
      raise UserError(f"{given}: give {name} a number as its default, it is the config's too")
  return Choice(
    module=module,
    function=function,
    numbers={name: float(default) for name, default in numbers.items()},
    comments=loss_signatures.argument_comments(doc, numbers),
    limits=loss_signatures.limits(module, signature, numbers),
  )


_read_ours = functools.cache(_read)  # every run of a sweep reads the same few


def chosen(config: ConfigDict) -> Chosen:
  """The names; of a run that is older than the choice, AdamW."""
  return {"name": config.optimizer.get("name", "adamw"), "schedule": config.optimizer.schedule}


def comments(config: ConfigDict) -> dict[str, str]:
  """{"optimizer.b1": "decay of the first moment, ..."} for the numbers that are not shared."""
  found = {}
  for choice in _choices(chosen(config)):
    found |= {f"optimizer.{name}": comment for name, comment in choice.comments.items()}
  return found


def adamw(learning_rate: float, warmup_steps: int, schedule: str) -> ConfigDict:
  """The section of what is trained before a run, whatever the run's own.

  Its numbers are written out: what is shared under runs/ does not change with a default.
  """
  section = {"name": "adamw", "b1": 0.9, "b2": 0.95, "weight_decay": 0.0, "max_grad_norm": 1.0}
  section |= {"learning_rate": learning_rate, "warmup_steps": warmup_steps, "schedule": schedule}
  return ConfigDict(section)


def fill(path: str, config: ConfigDict, overrides: dict[str, Any]) -> None:
  """Gives the section of a file's config the numbers that are not shared: its own, or the defaults.

  Takes the optimizer and the schedule out of `overrides`. Others than the file's keep those of the
  file's numbers that they have, and drop the rest.

  Raises:
    UserError: there is no such optimizer or schedule, or the file changes a number that they lack.
  """
  given, old, problems = config.optimizer, chosen(config), []
  new = {field: overrides.pop(f"optimizer.{field}", name) for field, name in old.items()}
  for field, name in new.items():
    try:
      read(field, name)
    except UserError as error:
      problems.append(str(error))
  if problems:
    raise UserError("\n".join(problems))
  own, shared = _numbers(new), _shared()
  config.optimizer = ConfigDict(new | own)
  for name, value in given.items(preserve_field_references=True):
    if name in new:
      continue
    if name in shared or (name in own and isinstance(value, FieldReference)):
      config.optimizer[name] = value
    elif name in own:
      try:
        config.optimizer[name] = config_values.convert(value, float, own[name])
      except ValueError as error:
        problems.append(f"{path}: optimizer.{name} {error}")
    elif new == old and not any(value in defaults.values() for defaults in _readers(name).values()):
      fields = [f"optimizer.{field}" for field in (*shared, *own)]
      near = field_names.nearest_to(f"optimizer.{name}", fields)
      why = only_reader(config, name) or f"there is no such field.{did_you_mean(near)}"
      problems.append(f"{path}: optimizer.{name}: {why}")
  if problems:
    raise UserError("\n".join(problems))


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems of the numbers that are not shared, a line each."""
  for name, limit in [pair for c in _choices(chosen(config)) for pair in c.limits.items()]:
    value = config.optimizer.get(name)
    if value is not None and math.isfinite(value):  # not finite: said already
      yield from filter(None, [limit.problem(f"optimizer.{name}", value)])


def only_reader(config: ConfigDict, key: str) -> str:
  """ "only optimizer.name='sgd' reads it, not 'adamw'"; "" of what this config has, or nobody."""
  name = key.removeprefix("optimizer.")
  if name in config.optimizer:
    return ""
  for field, readers in _readers(name).items():
    if readers:
      which = " or ".join(map(repr, readers))
      return f"only optimizer.{field}={which} reads it, not {config.optimizer[field]!r}"
  return ""


def _readers(name: str) -> dict[str, dict[str, float]]:
  """{"name": {"adamw": 0.95, "lion": 0.99}, "schedule": {}}: who has it, with which default."""
  tables = {field: {n: read(field, n).numbers for n in names(field)} for field in _TABLES}
  return {
    field: {n: numbers[name] for n, numbers in table.items() if name in numbers}
    for field, table in tables.items()
  }


def _choices(of: Chosen) -> list[Choice]:
  return [read(field, value) for field, value in of.items()]


def _numbers(of: Chosen) -> dict[str, float]:
  """The numbers that an optimizer and a schedule have to themselves, with their defaults."""
  numbers = {name: value for c in _choices(of) for name, value in c.numbers.items()}
  return {name: value for name, value in numbers.items() if name not in _shared()}


@functools.cache
def _shared() -> tuple[str, ...]:
  return tuple(common.defaults("").optimizer)
