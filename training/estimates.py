"""Means over seeds with 95 % t intervals, their p-values, and how they are written."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Iterable, Sequence

LEVEL = 0.05  # of p-values below which a difference is called clear
FEWEST = 3  # values that an interval takes: of two it would be 9 standard deviations wide each way


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over n seeds and the half width of its 95 % t interval; None for n < FEWEST."""

  mean: float
  half_width: float | None
  n: int

  @property
  def low(self) -> float:
    return self.mean - (self.half_width or 0.0)

  @property
  def high(self) -> float:
    return self.mean + (self.half_width or 0.0)

  @property
  def is_clear(self) -> bool:
    """Whether the interval excludes zero (for a difference)."""
    return self.p is not None and self.p < LEVEL

  @property
  def p(self) -> float | None:
    """Of Student's two-sided t test that the mean is zero.

    None for n < FEWEST, and where all values are equal, as of few held-out prompts they may well
    be: a spread of nothing is no evidence, and the test divides by it.
    """
    if self.half_width is None or self.half_width <= 1e-9 * abs(self.mean):
      return None
    from scipy.special import stdtr

    t = self.mean / self.half_width * _t_quantile(self.n - 1)
    return float(2 * stdtr(self.n - 1, -abs(t)))

  @property
  def untested(self) -> str:
    """Why no test says whether the mean is zero; "" if one does, or it is zero on every seed."""
    if self.half_width is None:
      return "fewer than three seeds give no interval"
    if self.p is None and self.mean != 0:
      return "the same gap on all seeds, so there is no t test"
    return ""

  @property
  def spread(self) -> str:
    """ "± 0.013", or "n=2" where there is no interval."""
    if self.half_width is None:
      return f"n={self.n}"
    return f"± {number(self.half_width, decimals=_decimals(self.mean))}"

  def __str__(self) -> str:
    spread = f"({self.spread})" if self.half_width is None else self.spread
    return f"{number(self.mean)} {spread}"

  def signed(self) -> str:
    """The same for a difference: "+0.210 ± 0.013"."""
    return ("+" if self.mean > 0 else "") + str(self)


def estimate(values: Iterable[float | None]) -> Estimate | None:
  """The mean of the values that are there, with its interval; None if none is."""
  present = [value for value in values if value is not None]
  if not present:
    return None
  n, mean = len(present), statistics.fmean(present)
  if n < FEWEST:
    return Estimate(mean, None, n)
  variance = sum((value - mean) ** 2 for value in present) / (n - 1)
  return Estimate(mean, _t_quantile(n - 1) * math.sqrt(variance / n), n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
  """Adjusted p-values: at most 5 % of families with no effect then have any p below 0.05.

  None, where there was no test, stays None and does not count (Holm, 1979).
  """
  tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
  adjusted: list[float | None] = [None] * len(p_values)
  largest = 0.0
  for rank, (p, index) in enumerate(tested):
    largest = max(largest, min(1.0, (len(tested) - rank) * p))
    adjusted[index] = largest
  return adjusted


def number(value: float | int | None, decimals: int | None = None) -> str:
  """0.6523 -> "0.652", 46.21 -> "46.2", 20480.0 -> "20,480", None -> "—"."""
  if value is None:
    return "—"
  if decimals is None:
    decimals = 0 if float(value).is_integer() and abs(value) >= 10 else _decimals(value)
  return f"{float(value):z,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


@functools.cache
def _t_quantile(degrees_of_freedom: int) -> float:
  """Student's t is within plus and minus this with a probability of 95 %."""
  from scipy.special import stdtrit  # most of a second to import: only where there are seeds

  return float(stdtrit(degrees_of_freedom, 0.975))


def _decimals(value: float | int) -> int:
  size = abs(value)
  return 3 if size < 10 else 1 if size < 1000 else 0
