"""Rows of numbers as columns: a number takes 12 bytes, where a dict of them takes 200.

A row is a step, and has some of the metrics; which ones differs from row to row. So a column holds
the numbers of the rows that have it, and where these are.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from training.errors import UserError
from training.records.rows import blocks, is_row, row_of

_AT_ONCE = 1 << 20  # bytes of lines that are parsed at a time
_NOWHERE = np.zeros(0, np.int32), np.zeros(0)


class Columns:
  """Rows, each with its "step". In a row's dict a number that was not finite is None."""

  def __init__(self, rows: Iterable[Mapping[str, Any]] = ()):
    self._count = 0
    self._parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    self._columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    self._fractions: set[str] = set()  # columns with numbers that were not written as whole ones
    self._add(list(rows))

  def __len__(self) -> int:
    return self._count

  @property
  def names(self) -> list[str]:
    """The metrics that some row has, finite or not, in the order of their appearance."""
    return list(self._parts)

  @property
  def known(self) -> set[str]:
    """The metrics that are finite in some row."""
    return {name for name in self._parts if np.isfinite(self.values(name)).any()}

  @property
  def steps(self) -> Int[np.ndarray, " N"]:
    """The step of each row."""
    return self.values("step").astype(np.int64)

  def where(self, name: str) -> Int[np.ndarray, " n"]:
    """The numbers of the rows that have this metric, finite or not."""
    return self._column(name)[0]

  def values(self, name: str) -> Float[np.ndarray, " n"]:
    """The metric in these rows; NaN where it was not finite, or is no number."""
    return self._column(name)[1]

  def at(self, name: str, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The metric in given rows; NaN where they lack it."""
    where, values = self._column(name)
    found = np.full(len(rows), np.nan)
    if len(where):
      places = np.minimum(np.searchsorted(where, rows), len(where) - 1)
      has = where[places] == rows
      found[has] = values[places[has]]
    return found

  def __getitem__(self, index: int) -> dict[str, Any]:
    index = range(self._count)[index]
    row = {}
    for name in self._parts:
      where, values = self._column(name)
      place = int(np.searchsorted(where, index))
      if place < len(where) and where[place] == index:
        row[name] = self._plain(name, values[place])
    return row

  def __iter__(self) -> Iterator[dict[str, Any]]:
    """For few rows: each is made anew."""
    return (self[index] for index in range(self._count))

  def _plain(self, name: str, value: float) -> float | int | None:
    if not math.isfinite(value):
      return None
    return float(value) if name in self._fractions else int(value)

  def _column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name not in self._columns:
      if name not in self._parts:
        return _NOWHERE
      where, values = map(np.concatenate, zip(*self._parts[name], strict=True))
      if (np.diff(where) < 0).any():  # rows with other metrics lie between
        order = np.argsort(where)
        where, values = where[order], values[order]
      self._parts[name] = [(where, values)]
      self._columns[name] = where, values
    return self._columns[name]

  def _add(self, rows: Sequence[Mapping[str, Any]]) -> None:
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
      alike[tuple(row)].append(index)
    for names, indices in alike.items():
      where = np.array(indices, np.int32) + np.int32(self._count)
      columns = zip(*(rows[index].values() for index in indices), strict=True)
      for name, column in zip(names, columns, strict=True):
        self._parts[name].append((where, self._numbers(name, column)))
    self._count += len(rows)
    self._columns.clear()

  def _numbers(self, name: str, column: Sequence[Any]) -> Float[np.ndarray, " n"]:
    kinds = set(map(type, column))
    if not kinds <= {int, type(None)}:
      self._fractions.add(name)
    if not kinds <= {int, float, type(None)}:
      column = [x if isinstance(x, int | float) else None for x in column]
    try:
      values = np.array(column, np.float64)  # None becomes NaN
    except OverflowError:  # a whole number beyond all floats
      values = np.array([math.nan if _is_huge(x) else x for x in column], np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def of_run(folder: str) -> Columns:
  """The rows of a run's metrics. UserError: some of the lines are none."""
  path = os.path.join(folder, "metrics.jsonl")
  rows, broken = read(path)
  if broken:
    raise UserError(f"{path} cannot be read: {broken} of its lines are no rows; delete them")
  return rows


def read(path: str) -> tuple[Columns, int]:
  """The rows of a file of them, and how many of its lines are none; neither without a file."""
  found, broken = Columns(), 0
  for lines in blocks(path, _AT_ONCE):
    rows = _rows(lines)
    broken += len(lines) - len(rows)
    found._add(rows)
  return found, broken


def _rows(lines: Sequence[bytes]) -> list[dict[str, Any]]:
  """The rows of lines, parsed as one array: their keys are then the same objects."""
  try:
    rows = json.loads(b"[" + b",".join(lines) + b"]")
  except (ValueError, RecursionError):
    rows = []
  if len(rows) == len(lines) and all(map(is_row, rows)):
    return rows
  return [row for line in lines if (row := row_of(line)) is not None]


def _is_huge(x: Any) -> bool:
  return isinstance(x, int) and x.bit_length() > 1023
