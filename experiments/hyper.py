"""Sweeps as lists of dicts: get_sweep() may return product([sweep("seed", range(3)), ...]).

The names are those of Google's `hyper` module, so that a get_hyper(hyper) written for it runs here.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

Item = dict[str, Any]


def sweep(name: str, values: Iterable[Any]) -> list[Item]:
  """sweep("seed", range(2)) -> [{"seed": 0}, {"seed": 1}]."""
  return [{name: value} for value in values]


def fixed(name: str, value: Any, length: int = 1) -> list[Item]:
  """The same value `length` times."""
  return [{name: value} for _ in range(length)]


def product(sweeps: Iterable[Iterable[Item]]) -> list[Item]:
  """Every combination; the last sweep varies fastest."""
  return [_merge(items) for items in itertools.product(*sweeps)]


def zipit(sweeps: Iterable[Iterable[Item]]) -> list[Item]:
  """The first item of each, the second of each, ...; ValueError if their lengths differ."""
  return [_merge(items) for items in zip(*sweeps, strict=True)]


def chain(sweeps: Iterable[Iterable[Item]]) -> list[Item]:
  """One sweep after the other."""
  return list(itertools.chain.from_iterable(sweeps))


chainit = chain
categorical = discrete = list  # of values, for `sweep`


def _merge(items: Sequence[Item]) -> Item:
  merged: Item = {}
  for item in items:
    twice = merged.keys() & item.keys()
    if twice:
      raise ValueError(f"{', '.join(sorted(twice))} is set by two of the sweeps that are combined")
    merged |= item
  return merged
