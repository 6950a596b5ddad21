"""Means over seeds with 95 % intervals, and how they are written."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over n seeds and the half width of its 95 % t interval; None for n = 1."""

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
    """Whether the interval excludes zero (for a difference). One seed is never clear."""
    return self.half_width is not None and abs(self.mean) > self.half_width

  @property
  def spread(self) -> str:
    """ "± 0.013", or "n=1" where there is no interval."""
    if self.half_width is None:
      return "n=1"
    return f"± {number(self.half_width, decimals=_decimals(self.mean))}"

  def __str__(self) -> str:
    spread = "(n=1)" if self.half_width is None else self.spread
    return f"{number(self.mean)} {spread}"

  def signed(self) -> str:
    """The same for a difference: "+0.210 ± 0.013"."""
    return ("+" if self.mean > 0 else "") + str(self)


def estimate(values: Iterable[float | None]) -> Estimate | None:
  """The mean of the values that are there, with its interval; None if none is."""
  present = [value for value in values if value is not None]
  if not present:
    return None
  n = len(present)
  if n == 1:
    return Estimate(present[0], None, 1)
  mean = statistics.fmean(present)
  variance = sum((value - mean) ** 2 for value in present) / (n - 1)
  return Estimate(mean, _t_quantile(n - 1) * math.sqrt(variance / n), n)


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
