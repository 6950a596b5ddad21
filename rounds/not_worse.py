"""Whether a new policy may replace the one in service: a paired test on the same prompts."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class PairedTest:
  """What `not_worse` found. `p_worse` is small where the new policy is worse."""

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
  degrees of freedom, d_i the difference of prompt i's means; it is refused when p < level. At level
  0.5 that is when mean(d) < 0. Prompts without a scored sample of both are left out; of fewer than
  two nothing can be said, and the new policy does not pass.

  Passing is not being better: at level 0.05 a policy that is a little worse passes often, and ones
  that follow it may be a little worse each. A higher level makes that rarer, and refusals of good
  policies more frequent.
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
