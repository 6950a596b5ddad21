"""Values of rows in words, for messages."""

from typing import Any

_KINDS = {
  dict: "an object",
  list: "a list",
  str: "text",
  bool: "true or false",
  type(None): "null",
}


def kind_of(value: Any) -> str:
  """ "a list" """
  kind = "a number" if isinstance(value, int | float) else "of a wrong type"
  return _KINDS.get(type(value), kind)


def shown(value: int | float) -> str:
  """The number in a few characters, whatever its size."""
  if isinstance(value, int) and value.bit_length() > 200:
    return f"a number of {value.bit_length():,} bits"
  return str(value)


def listed(value: dict) -> list | None:
  """[{"a": 1}, {"a": 2}] of {"a": [1, 2]}, as a sequence of objects may be stored; else None."""
  columns = list(value.values())
  if not columns or not all(isinstance(column, list) for column in columns):
    return None
  if len({len(column) for column in columns}) > 1:
    return None
  return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def is_empty(value: Any) -> bool:
  """Whether there is nothing in it: null, "", [], {}, and lists and objects of these."""
  if isinstance(value, str):
    return value.strip() in ("", "[]", "{}", "null")
  if isinstance(value, list):
    return all(map(is_empty, value))
  if isinstance(value, dict):
    return all(map(is_empty, value.values()))
  return value is None
