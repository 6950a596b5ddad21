"""Whether a new policy may replace the one in service: a paired test on the same prompts."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class PairedTest:
  """The result of `not_worse`. `p_worse` is small if the new policy is worse."""

  difference: float  # new minus old, mean over prompts
  standard_error: float  # over prompts
  p_worse: float
  prompts: int
  passed: bool


def not_worse(
  new: Float[np.ndarray, "N n"], old: Float[np.ndarray, "N n"], level: float
) -> PairedTest:
  """A one-sided paired t test of the mean rewards of N prompts, n samples each, of two policies.

  Null hypothesis: the new policy's mean is not lower. p = P(T <= t) with t = mean(d) / se(d), N - 1
  degrees of freedom, d_i the difference of prompt i's means. The new policy passes if p >= level;
  at level 0.5, if mean(d) >= 0. Prompts without a scored sample of both are left out; with fewer
  than two prompts it does not pass.

  A policy that passes need not be better: at level 0.05 one that is a little worse often passes,
  and each of its successors may be a little worse again. A higher level makes that rarer, and
  refusals of good policies more frequent.
  """
  scored = np.isfinite(new).any(axis=1) & np.isfinite(old).any(axis=1)
  d = np.nanmean(new[scored], axis=1) - np.nanmean(old[scored], axis=1)
  n = int(scored.sum())
  if n < 2:
    return PairedTest(float("nan"), float("nan"), float("nan"), n, passed=False)
  mean, error = float(d.mean()), float(d.std(ddof=1) / math.sqrt(n))
  if error == 0:
    p = float(np.sign(mean) + 1) / 2
  else:
    from scipy.special import stdtr  # most of a second to import

    p = float(stdtr(n - 1, mean / error))
  return PairedTest(mean, error, p, n, passed=p >= level)
