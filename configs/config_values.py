"""The values of a config's fields: the type each has, and text turned into a value of it."""

import ast
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference

Field = tuple[type, Any]  # its type, and its value (None: not set)


def fields(config: ConfigDict, prefix: str = "") -> dict[str, Field]:
  """{"algorithm.beta": (float, 0.1), ...} of a config with its sections."""
  return dict(_walk(config, prefix))


def assign(config: ConfigDict, key: str, value: Any) -> None:
  """config.<key> = value, or the value that the text spells; ValueError if the type is another."""
  *sections, name = key.split(".")
  for section in sections:
    config = config[section]
  kind, old = fields(config)[name]
  config[name] = convert(value, kind, old)


def convert(value: Any, kind: type, old: Any) -> Any:
  """`value`, or what it spells if it is text, as a `kind`; an `old` of None may stay None.

  Raises:
    ValueError: such as "is int (default 80); '2.5' is not."
  """
  given = value
  if isinstance(value, str) and kind is not str:
    value = spelled(value)
  if kind in (object, type(None)) or type(value) is kind or (value is None and old is None):
    return value
  if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
    return float(value)
  if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
    return int(value)
  if kind in (tuple, list) and value is not True:
    items = value if isinstance(value, (tuple, list)) else (value,)
    return kind(convert(item, type(old[0]), old[0]) if old else item for item in items)
  if given is True:  # the flag stood alone
    raise ValueError(f"needs a value after a `=`: {kind.__name__} (default {old!r}).")
  raise ValueError(f"is {kind.__name__} (default {old!r}); {given!r} is not.")


def options(text: str) -> dict[str, Any]:
  """ "timeout_min=120,partition=gpu" -> {"timeout_min": 120, "partition": "gpu"}.

  Raises:
    ValueError: such as "'gpu' is not name=value".
  """
  found: dict[str, Any] = {}
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if not equals:
      raise ValueError(f"{part!r} is not name=value")
    found[name.strip()] = _literal(value.strip())
  return found


def is_number(value: Any) -> bool:
  """An int or a float. A bool is neither."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"algorithm": {"beta": 0.1}} -> {"algorithm.beta": 0.1}."""
  flat = {}
  for key, value in config.items():
    is_section = isinstance(value, Mapping)
    flat |= flatten(value, f"{prefix}{key}.") if is_section else {prefix + key: value}
  return flat


def _walk(config: ConfigDict, prefix: str) -> Iterator[tuple[str, Field]]:
  for name, value in config.items(preserve_field_references=True):
    if isinstance(value, ConfigDict):
      yield from _walk(value, f"{prefix}{name}.")
    elif isinstance(value, FieldReference):
      yield (
        prefix + name,
        (value.get_type(), None if value.empty() else value.get()),
      )
    else:
      yield prefix + name, (type(value), value)


def spelled(text: str) -> Any:
  """Text as Python would read it: "1e-3" -> 0.001, "true" -> True, "0.1,0.3" -> (0.1, 0.3)."""
  words = {"true": True, "false": False, "none": None}
  if text.lower() in words:
    return words[text.lower()]
  value = _literal(text)
  return tuple(text.split(",")) if value is text and "," in text else value


def _literal(text: str) -> Any:
  """The value that Python reads in the text; the text itself, if it reads none."""
  try:
    return ast.literal_eval(text.strip())
  except (ValueError, SyntaxError):
    return text
