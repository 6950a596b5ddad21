"""The fields of a JSON body, read one by one, so that a bad one is named.

  fields = Fields(body)
  n = fields.integer("n", 1, least=1, most=8)
  fields.done()                                    # refuses those that nobody read

Errors are those of OpenAI's API (`errors`). A null is a field that was not given.
"""

import json
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from serving.errors import ApiError, invalid
from tasks.slips import did_you_mean, nearest

_LONGEST = 100  # characters of a client's own that a message repeats
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = _LONGEST


def parse(body: bytes) -> dict[str, Any]:
  """The object that a request's body holds. ApiError if it is none."""

  def refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")

  try:
    found = json.loads(body.decode(), parse_constant=refuse)
    # Python reads halves of surrogate pairs and 1e999, which no answer could repeat.
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
  except (ValueError, RecursionError) as error:
    raise invalid("", f"The body is no JSON in UTF-8: {error}", "invalid_json") from None
  if not isinstance(found, dict):
    raise invalid("", "The body must be a JSON object.", "invalid_json")
  return found


class Fields:
  """The fields of one object. `where` is its own name, before a dot: "method.dpo."."""

  def __init__(self, body: Mapping[str, Any], where: str = ""):
    self._body, self._where = body, where
    self._read: set[str] = set()

  def get(self, name: str, default: Any = None) -> Any:
    """The value as it is."""
    self._read.add(name)
    value = self._body.get(name)
    return default if value is None else value

  def text(self, name: str, default: str | None = None, *, most: int = 1000) -> str:
    """A text of one to `most` characters; required where no default is given."""
    value = self._required(name, default)
    if not isinstance(value, str) or (value != default and not 1 <= len(value) <= most):
      raise self.wrong(name, f"must be a text of 1 to {most} characters")
    return value

  def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
    value = self._required(name, default)
    if value not in choices:
      raise self.wrong(name, f"must be one of {', '.join(choices)}, and is {_short(value)}")
    return value

  def flag(self, name: str) -> bool:
    value = self.get(name, False)
    if not isinstance(value, bool):
      raise self.wrong(name, f"must be true or false, and is {_short(value)}")
    return value

  def integer(self, name: str, default: int | None, *, least: int, most: int) -> int:
    value = self._required(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
      raise self.wrong(name, f"must be an integer from {least} to {most}, and is {_short(value)}")
    return value

  def number(
    self, name: str, default: float | None, *, least: float, most: float, open_at_least=False
  ) -> float:
    value = self._required(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # an infinity is not, and a NaN no JSON
      raise self.wrong(name, f"must be a number from {least:g} to {most:g}, and is {_short(value)}")
    if open_at_least and value == least:
      raise self.wrong(name, f"must be above {least:g}")
    return float(value)

  def section(self, name: str) -> "Fields":
    """The fields of an object in this one; of an empty one, if it is not there."""
    value = self.get(name, {})
    if not isinstance(value, dict):
      raise self.wrong(name, "must be an object")
    return Fields(value, f"{self._where}{name}.")

  def only(self, name: str, *neutral: Any) -> None:
    """Refuses a field that is not served here, unless it has a value that asks nothing."""
    if (value := self.get(name)) not in (None, *neutral):
      raise self.wrong(name, f"is not supported here, and was {_short(value)}", "unsupported_value")

  def done(self) -> None:
    """Refuses fields that nobody read."""
    for name in self._body:
      if name not in self._read:
        name = name[:_LONGEST]
        hint = did_you_mean(nearest(name, sorted(self._read)))
        raise invalid(
          f"{self._where}{name}",
          f"Unrecognized request argument supplied: {self._where}{name}.{hint}",
          "unknown_parameter",
        )

  def wrong(self, name: str, what: str, code: str = "invalid_value") -> ApiError:
    return invalid(f"{self._where}{name}", f"'{self._where}{name}' {what}.", code)

  def _required(self, name: str, default: Any) -> Any:
    value = self.get(name, default)
    if value is None:
      raise self.wrong(name, "is required", "missing_required_parameter")
    return value


def _short(value: Any) -> str:
  """A client's value for a message: as Python writes it, without its middle if it is long."""
  return _REPR.repr(value)
