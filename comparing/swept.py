"""Numbers that a sweep changes, as axes: which fields, and the lines of variants along each.

A line is of variants that differ in nothing else. Something else may make up for the field, though:
at twice the group size half the prompts are as many rollouts. Variants whose product of the two is
the same are a line as well.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from comparing.comparison import Comparison, Variant
from configs.config_values import flatten

_FIRST = ("learning_rate", "beta", "group_size")  # ends of fields' names, in the order of the axes
_WIDE = 4.0  # times the lowest value, from which on an axis is logarithmic

Settings = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Line:
  """Variants by their values of a field, in that order; `name` tells the line from the others."""

  name: str
  variants: tuple[Variant, ...]
  values: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Axis:
  """A numeric field of the config that variants differ in, and the lines along it."""

  field: str
  lines: tuple[Line, ...]

  @functools.cached_property
  def values(self) -> list[float]:
    return sorted({value for line in self.lines for value in line.values})

  @property
  def is_log(self) -> bool:
    return self.values[0] > 0 and self.values[-1] >= _WIDE * self.values[0]

  @property
  def from_zero(self) -> bool:
    """Whether it begins with 0 and goes on as if it were logarithmic: 0, 1, 4, 16."""
    zero, *others = self.values
    return zero == 0 and len(others) > 1 and others[-1] >= _WIDE * others[0]


@dataclasses.dataclass(frozen=True)
class Grid:
  """Variants that differ in two fields and nothing else: by (value of x, value of y)."""

  x: str
  y: str
  name: str
  cells: Mapping[tuple[float, float], Variant]


def axes(result: Comparison) -> list[Axis]:
  """Returns the fields along which some variants make a line; learning rates and betas first."""
  settings = _settings(result)
  found = []
  for field in _numeric(settings):
    lines = _lines(result, settings, field)
    members = {frozenset(line.variants) for line in lines}
    seen = [{frozenset(line.variants) for line in axis.lines} for axis in found]
    if lines and members not in seen:  # else it moves with a field that is an axis already
      found.append(Axis(field, tuple(lines)))
  return found


def grids(result: Comparison) -> list[Grid]:
  """Returns what two fields span: at least two values of each, and more than one line's cells."""
  settings = _settings(result)
  fields = [axis.field for axis in axes(result)]
  found = []
  for x, y in itertools.combinations(fields, 2):
    spans = []
    for others, members in _alike(settings, (x, y)).items():
      cells = {(settings[name][x], settings[name][y]): name for name in members}
      columns, rows = ({cell[i] for cell in cells} for i in (0, 1))
      if min(len(columns), len(rows)) > 1 and len(cells) > max(len(columns), len(rows)):
        spans.append((dict(others), cells))
    names = _names([others for others, _ in spans])
    by_name = {v.name: v for v in result.variants}
    for name, (_, cells) in zip(names, spans, strict=True):
      found.append(Grid(x, y, name, {cell: by_name[v] for cell, v in cells.items()}))
  return found


def _settings(result: Comparison) -> dict[str, Settings]:
  """Variant -> its values of the config fields in which variants differ."""
  flat = {v.name: flatten(v.config) for v in result.variants if v.config}
  fields = dict.fromkeys(field for config in flat.values() for field in config)
  differ = [
    field
    for field in fields
    if field not in ("seed", "base.seed", "reward_model.seed")
    and len({repr(config.get(field)) for config in flat.values()}) > 1
  ]
  return {name: {f: config[f] for f in differ if f in config} for name, config in flat.items()}


def _numeric(settings: Mapping[str, Settings]) -> list[str]:
  fields = dict.fromkeys(field for values in settings.values() for field in values)
  found = [
    field
    for field in fields
    if all(_is_number(values[field]) for values in settings.values() if field in values)
  ]
  return sorted(found, key=lambda field: not field.endswith(_FIRST))


def _lines(result: Comparison, settings: Mapping[str, Settings], field: str) -> list[Line]:
  groups = {key: members for key, members in _alike(settings, (field,)).items() if len(members) > 1}
  alone = set(itertools.chain(*groups.values()))  # in a line where it changes alone
  for other in _numeric(settings):
    if other != field:
      for key, members in _alike(settings, (field,), made_up_by=other).items():
        if len(members) > 1 and sum(member in alone for member in members) <= 1:
          groups.setdefault(key, members)  # else it crosses lines that are there
  by_name = {v.name: v for v in result.variants}
  lines = []
  for name, members in zip(_names([dict(key) for key in groups]), groups.values(), strict=True):
    ordered = sorted(members, key=lambda member: settings[member][field])
    values = tuple(float(settings[member][field]) for member in ordered)
    if len(set(values)) == len(values):
      lines.append(Line(name, tuple(by_name[member] for member in ordered), values))
  return lines


def _alike(
  settings: Mapping[str, Settings], fields: Sequence[str], made_up_by: str = ""
) -> dict[tuple[tuple[str, Any], ...], list[str]]:
  """Groups variants that have the `fields` by the values of all the other fields.

  Of `made_up_by` its product with the field counts instead of its value.
  """
  found: dict[tuple[tuple[str, Any], ...], list[str]] = {}
  for name, values in settings.items():
    if not all(field in values for field in fields) or (made_up_by and made_up_by not in values):
      continue
    others = {field: value for field, value in values.items() if field not in fields}
    if made_up_by:
      product = others.pop(made_up_by) * values[fields[0]]
      others[f"{short(fields[0])}·{short(made_up_by)}"] = float(f"{product:.6g}")
    found.setdefault(tuple((k, _hashable(v)) for k, v in sorted(others.items())), []).append(name)
  return found


def _names(groups: Sequence[Settings]) -> list[str]:
  """Returns as few of each group's values as tell it from the others: "grpo source=online"."""
  fields = dict.fromkeys(field for group in groups for field in group)
  texts = [""] * len(groups)
  # A correction's anchor goes with its weight, which says more.
  for field in sorted(fields, key=lambda f: (f != "algorithm.loss", f == "correction.anchor")):
    before = list(texts)
    for text in set(before):
      alike = [i for i, other in enumerate(before) if other == text]
      if len({repr(groups[i].get(field)) for i in alike}) > 1:
        for i in alike:
          said = _said(field, groups[i][field]) if field in groups[i] else ""
          texts[i] = f"{text} {said}".strip()
  return texts


def _said(field: str, value: Any) -> str:
  if value == "":  # it has none of what others have
    return ""
  text = f"{value:g}" if _is_number(value) else str(value)
  return text if field == "algorithm.loss" else f"{short(field)}={text}"


def short(field: str) -> str:
  """ "optimizer.learning_rate" -> "learning_rate"."""
  return field.rpartition(".")[2]


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _hashable(value: Any) -> Any:
  return value if isinstance(value, int | float | str | None) else repr(value)
