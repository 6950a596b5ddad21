"""Weighted sums of functions as a config spells them: rewards, and what a base policy is taught.

  "numeric + 0.2*format - 0.1*mylab.rewards:rudeness(words=3)"

A term is a name of a table or a `module:function`, with options in brackets and a weight before.
Options are name=value; the first may leave its name out: regex('\\d+'). A value is a number, true,
false or a text in quotes, which is taken as it stands: a backslash is a backslash.
"""

import dataclasses
import inspect
import re
from typing import Any

from tasks import functions

_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
_QUOTED = r"""'[^']*'|"[^"]*\""""
_OPTION = re.compile(rf"""\s*(?:(\w+)\s*=\s*)?({_QUOTED}|[^\s,='"]+)\s*(?:,|$)""")
_TERM = re.compile(
  rf"""\s*(?P<sign>[+-]?)\s*(?:(?P<weight>{_NUMBER})\s*\*\s*)?(?P<name>[A-Za-z_][\w.]*(?::\w+)?)"""
  rf"""\s*(?:\((?P<options>(?:[^()'"]|{_QUOTED})*)\))?\s*"""
)

Value = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class Term:
  """One function of the sum, its options as (name, value); the name of the first may be ""."""

  name: str
  weight: float = 1.0
  options: tuple[tuple[str, Value], ...] = ()

  @property
  def is_own(self) -> bool:
    """A `module:function`, not of the table."""
    return ":" in self.name

  def bound_options(self, signature: inspect.Signature) -> dict[str, Any]:
    """The options that a function of this signature is called with. ValueError if they do not fit.

    An option without a name is the first that the function has.
    """
    first = next(iter(functions.options_of(signature)), "options")
    given = {name or first: value for name, value in self.options}
    return functions.bound_options(self.name, given, signature, f"{self.name}({{}}=...)")


def parse(text: str, example: str = "numeric + 0.2*format") -> tuple[Term, ...]:
  """The terms that `text` spells. ValueError, with the place, where it cannot be read."""
  terms, at = [], 0
  while at < len(text.rstrip()) or not terms:
    found = _TERM.match(text, at)
    if not found or (terms and not found["sign"]):
      raise ValueError(
        f"cannot read {text[at:].strip()[:40]!r}: write it like {example}"
        if text.strip()
        else f"names nothing; write it like {example}"
      )
    weight = float(found["weight"] or 1) * (-1 if found["sign"] == "-" else 1)
    terms.append(Term(found["name"], weight, _options(found["options"] or "")))
    at = found.end()
  return tuple(terms)


def labels(terms: tuple[Term, ...]) -> tuple[str, ...]:
  """The name of each in metrics: its own (a function's without the module), or name_2 ..."""
  names = [term.name.rpartition(":")[2] for term in terms]
  return tuple(
    f"{name}_{count}" if (count := names[: i + 1].count(name)) > 1 else name
    for i, name in enumerate(names)
  )


def _options(text: str) -> tuple[tuple[str, Value], ...]:
  options, at = [], 0
  while at < len(text.rstrip()):
    found = _OPTION.match(text, at)
    if not found or (options and not found[1]):
      raise ValueError(f"cannot read the option {text[at:].strip()!r}: write name=value")
    options.append((found[1] or "", _value(found[2])))
    at = found.end()
  return tuple(options)


def _value(text: str) -> Value:
  if text[0] in "'\"":
    return text[1:-1]
  if text in ("true", "True", "false", "False"):
    return text in ("true", "True")
  for kind in (int, float):
    try:
      return kind(text)
    except ValueError:
      pass
  raise ValueError(f"{text!r} is no number; a text goes in quotes: '{text}'")
