"""Means with intervals, and values that they may stand for."""

import numpy as np
from numpy.typing import ArrayLike

from training.estimates import Estimate, estimate


def mean_of(values: ArrayLike) -> Estimate:
  """Returns the mean of one number a seed (or batch, or data set), with its 95 % t interval."""
  found = estimate(np.asarray(values, np.float64).tolist())
  assert found is not None
  return found


def may_be(found: Estimate, value: float) -> bool:
  """Whether the interval, twice as wide because several are tested together, holds `value`."""
  return abs(found.mean - value) < 2 * (found.half_width or 0.0)
