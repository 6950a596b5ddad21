"""From a config or sweep file to checked values, without importing jax.

A spec is a file, with an argument after a colon for files that take one: "configs/grpo.py:k=8".
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import RequiredValueError, placeholder

from configs import common, config_values, hyper
from configs.config_values import Field
from tasks.slips import did_you_mean, nearest
from training.checking import (
  config_modules,
  field_names,
  loss_signatures,
  optimizer_section,
  task_signatures,
)
from training.errors import UserError


def load(spec: str, overrides: Mapping[str, Any] | None = None) -> ConfigDict:
  """The config of a file, overridden, with what its loss and its optimizer have of their own.

  Args:
    spec: the file, and its argument after a colon: "configs/grpo.py:k=4".
    overrides: dotted field -> its value, or that value as text from the command line. Another
      "algorithm.loss" keeps the file's hyperparameters that the new loss has, and drops the rest;
      so do another "optimizer.name" and "optimizer.schedule".
  Raises:
    UserError: with all problems, one a line.
  """
  config = _run_get_config(spec)
  overrides, problems = dict(overrides or {}), []
  try:
    _fill_algorithm(spec, config, overrides.pop("algorithm.loss", config.algorithm.loss))
  except UserError as error:
    problems.append(str(error))
    overrides = {key: value for key, value in overrides.items() if not key.startswith("algorithm.")}
  try:
    optimizer_section.fill(spec.partition(":")[0], config, overrides)
  except UserError as error:
    problems.append(str(error))
    overrides = {key: value for key, value in overrides.items() if not key.startswith("optimizer.")}
  problems += _override(spec, config, overrides)
  if problems:
    raise UserError("\n".join(problems))
  task_signatures.fill(config)
  try:
    config.to_dict()
  except RequiredValueError as error:
    raise UserError(f"{spec}: a field that must be given has no value: {error}") from None
  return config.lock()


def complete(config: ConfigDict) -> ConfigDict:
  """A locked copy of a config made in Python, filled with what its loss and optimizer have.

  A config of `load` stays what it is. UserError if fields are missing, or the loss has no such.
  """
  config = config.copy_and_resolve_references()
  _refuse_missing_fields("the config", config)
  with config.unlocked():
    _fill_algorithm("the config", config, config.algorithm.loss)
  optimizer_section.fill("the config", config, {})
  task_signatures.fill(config)
  return config.lock()


def of_record(saved: Mapping[str, Any]) -> ConfigDict:
  """The config of a folder's config.json; fields that came later have the values of `common`."""
  config = ConfigDict(saved)
  _add_missing(config, common.defaults(config.algorithm.loss))
  return config


def _add_missing(config: ConfigDict, defaults: ConfigDict) -> None:
  for name, value in defaults.items():
    if name not in config:
      config[name] = value
    elif isinstance(value, ConfigDict):
      _add_missing(config[name], value)


def load_sweep(spec: str) -> list[dict[str, Any]]:
  """The items of a sweep file, each with its "config" and dotted overrides.

  The file has get_sweep(), or Google's get_hyper(hyper); either gets `configs.hyper` if it
  takes an argument. Keys may start with "config.". In a file that has get_config() as well, items
  need no "config": it is the file itself.
  """
  path, colon, _ = spec.partition(":")
  module, function = config_modules.run(path, "get_sweep", "get_hyper")
  if colon:
    raise UserError(f"{spec}: a sweep file takes no argument")
  arguments = [hyper] if inspect.signature(function).parameters else []
  given = config_modules.call(path, lambda: list(function(*arguments) or []))
  if not given:
    raise UserError(
      f"{path}: {function.__name__}() gives no runs: it must return dicts, or yield them"
    )
  for index, item in enumerate(given):
    if not isinstance(item, Mapping):
      raise UserError(f'{path}: item {index} is {item!r}, not a dict like {{"config": "dpo.py"}}')
  items: list[dict[str, Any]] = [
    {key.removeprefix("config."): value for key, value in item.items()} for item in given
  ]
  for index, item in enumerate(items):
    if hasattr(module, "get_config"):
      item.setdefault("config", path)
    if not isinstance(item.get("config"), str):
      raise UserError(f'{path}: item {index} names no config file, as "config": "configs/dpo.py"')
  return items


def _run_get_config(spec: str) -> ConfigDict:
  """The config of the file's get_config(argument), with all the fields of configs/common.py."""
  path, colon, argument = spec.partition(":")
  _, get_config = config_modules.run(path, "get_config")
  if colon and not inspect.signature(get_config).parameters:
    raise UserError(f"{path} takes no argument, so {argument!r} cannot follow the colon")
  try:
    config = config_modules.call(path, lambda: get_config(argument) if colon else get_config())
  except common.ArgumentError as error:
    raise UserError(f"{spec}: {error}") from None
  if not isinstance(config, ConfigDict):
    raise UserError(f"{path}: get_config() returned {type(config).__name__}, not a ConfigDict")
  _refuse_missing_fields(path, config)
  return config


def _refuse_missing_fields(where: str, config: ConfigDict) -> None:
  fields = config_values.fields(config)
  missing = [field for field in _fields_of_all() if field not in fields]
  if missing:
    some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
    raise UserError(f"{where} lacks {some}: let it start from configs.common.defaults(loss)")


@functools.cache
def _fields_of_all() -> tuple[str, ...]:
  return tuple(config_values.fields(common.defaults("")))


def _fill_algorithm(spec: str, config: ConfigDict, loss: Any) -> None:
  """Makes `algorithm` the loss and its hyperparameters: the file's values, else the defaults."""
  if not isinstance(loss, str):
    raise UserError(f"--config.algorithm.loss={loss!r}: must be the name of a loss")
  signature = loss_signatures.read(loss)
  old, config.algorithm = config.algorithm, ConfigDict({"loss": loss})
  for name, default in signature.hyperparameters.items():
    config.algorithm[name] = placeholder(object) if default is None else default
  problems = []
  for name, value in old.items(preserve_field_references=True):
    if name not in signature.hyperparameters:
      if name != "loss" and old.loss == loss:
        problems.append(f"{spec.partition(':')[0]}: {_no_hyperparameter(name, config.algorithm)}")
    elif isinstance(value, FieldReference):
      config.algorithm[name] = value
    else:
      try:
        config_values.assign(config, f"algorithm.{name}", value)
      except ValueError as error:
        problems.append(f"{spec.partition(':')[0]}: algorithm.{name} {error}")
  if problems:
    raise UserError("\n".join(problems))


def _override(spec: str, config: ConfigDict, overrides: Mapping[str, Any]) -> list[str]:
  """Assigns what can be assigned; returns the problems with the rest."""
  fields, problems = config_values.fields(config), []
  for key in overrides:
    if key not in fields:
      continue
    try:
      config_values.assign(config, key, overrides[key])
    except ValueError as error:
      hint = _int_hint(key, fields[key], config.algorithm.loss)
      problems.append(f"--config.{key} {error}{hint}")
  unknown = [key for key in overrides if key not in fields]
  problems += [_unknown_field(spec, key, config, fields) for key in unknown]
  if unknown:
    problems.append(f"(python -m experiments.train --config={spec} --help lists every field)")
  return problems


def _unknown_field(spec: str, key: str, config: ConfigDict, fields: Mapping[str, Field]) -> str:
  """Says that there is no such field, and which one of that name, or nearly, there is."""
  path = spec.partition(":")[0]
  inside = [field for field in fields if field.startswith(key + ".")]
  if inside:
    return f"{key} is a section of {path}; set its fields, such as --config.{inside[0]}"
  if reader := optimizer_section.only_reader(config, key):
    return f"--config.{key}: {reader}"
  hint = did_you_mean([f"--config.{field}" for field in field_names.nearest_to(key, fields)])
  return f"{path} has no field {key!r}.{hint}"


def _no_hyperparameter(name: str, algorithm: ConfigDict) -> str:
  known = [key for key in algorithm if key != "loss"]
  hint = did_you_mean(nearest(name, known)) or f" It has {', '.join(known) or 'none'}."
  return f"loss {algorithm.loss} has no hyperparameter {name!r}.{hint}"


def _int_hint(key: str, field: Field, loss: str) -> str:
  """For the author of a loss who wrote `tau=1` and now wants 0.5."""
  if not key.startswith("algorithm.") or field[0] is not int or ":" not in loss:
    return ""
  return f" (For a float, write {key.removeprefix('algorithm.')}={field[1]}.0 in {loss}.)"
