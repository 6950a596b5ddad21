"""Sweeps as lists of dicts: get_sweep() may return product([sweep("seed", range(3)), ...]).

The names are those of Google's `hyper` module, so that a get_hyper(hyper) written for it runs here.
Random values depend only on the field's name and the seed: planned again, a sweep has the same
runs.
"""

import dataclasses
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
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


def zipit(sweeps: Iterable["Iterable[Item] | Draws"], length: int | None = None) -> list[Item]:
  """The first item of each, the second of each, ...

  Args:
    length: take so many of each, and draw as many from those without an end.
  Raises:
    ValueError: their lengths differ, or one is shorter than `length`.
  """
  columns = [
    part.first(length) if isinstance(part, Draws) and length is not None else list(part)
    for part in sweeps
  ]
  if length is not None:
    short = [column[0] if column else {} for column in columns if len(column) < length]
    if short:
      raise ValueError(f"zipit(length={length}): the sweep of {', '.join(short[0])} is shorter")
    columns = [column[:length] for column in columns]
  return [_merge(items) for items in zip(*columns, strict=True)]


def chain(sweeps: Iterable[Iterable[Item]]) -> list[Item]:
  """One sweep after the other."""
  return list(itertools.chain.from_iterable(sweeps))


chainit = chain
categorical = discrete = list  # of values, for `sweep`, `sample` and `uniform`


@dataclasses.dataclass(frozen=True)
class Interval:
  """The range from low to high, uniform or uniform in the logarithm."""

  low: float | int
  high: float | int
  log: bool = False

  def __post_init__(self) -> None:
    if not self.low < self.high:
      raise ValueError(f"interval({self.low:g}, {self.high:g}): the first must be below the second")
    if self.log and self.low <= 0:
      raise ValueError(f"log_uniform({self.low:g}, {self.high:g}): both must be above 0")


def interval(low: float | int, high: float | int) -> Interval:
  return Interval(low, high)


def log_uniform(low: float | int, high: float | int) -> Interval:
  """As likely between 1e-5 and 1e-4 as between 1e-4 and 1e-3: for learning rates and the like."""
  return Interval(low, high, log=True)


def sample(name: str, domain: Interval | Sequence[Any], n: int, seed: int | str = 0) -> list[Item]:
  """n values drawn at random: sample("optimizer.learning_rate", log_uniform(1e-5, 1e-3), n=8).

  Args:
    domain: interval(low, high), log_uniform(low, high), or a list of values (integers, words) to
      draw from with replacement. Numbers of an interval are rounded to four digits.
  """
  return list(itertools.islice(_draws(name, domain, seed), n))


@dataclasses.dataclass(frozen=True)
class Draws:
  """Random values, as many as zipit(..., length=n) asks for: Google's uniform and loguniform."""

  name: str
  domain: Interval | Sequence[Any]

  def first(self, n: int) -> list[Item]:
    return sample(self.name, self.domain, n)

  def __iter__(self) -> Iterator[Item]:
    raise ValueError(f"{self.name} is drawn without end; put it into zipit([...], length=n)")


def uniform(name: str, domain: Interval | Sequence[Any]) -> Draws:
  """Google's uniform: draws from an interval or discrete values, for zipit(..., length=n)."""
  return Draws(name, domain)


def loguniform(name: str, domain: Interval) -> Draws:
  """Google's loguniform: draws log-uniformly from the interval, for zipit(..., length=n)."""
  return Draws(name, log_uniform(domain.low, domain.high))


def _draws(name: str, domain: Interval | Sequence[Any], seed: int | str) -> Iterator[Item]:
  draw = random.Random(f"{seed}/{name}")  # by name too: axes of one seed are independent
  while True:
    if not isinstance(domain, Interval):
      yield {name: draw.choice(domain)}
    elif domain.log:
      exponent = draw.uniform(math.log(domain.low), math.log(domain.high))
      yield {name: rounded(math.exp(exponent))}
    else:
      yield {name: rounded(draw.uniform(domain.low, domain.high))}


def rounded(value: float) -> float:
  """Rounds to four digits: the number is part of a run's name, and of a command that one reads."""
  return float(f"{value:.4g}")


def _merge(items: Sequence[Item]) -> Item:
  merged: Item = {}
  for item in items:
    twice = merged.keys() & item.keys()
    if twice:
      raise ValueError(f"{', '.join(sorted(twice))} is set by two of the sweeps that are combined")
    merged |= item
  return merged
