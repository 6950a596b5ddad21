"""The variant with the highest mean, and the variants that the seeds show to be below it."""

import functools
import itertools

from comparing.comparison import Comparison, Measure
from training.estimates import LEVEL, Estimate, holm

BEST, TIED, BELOW = "best", "tied with the best", "clearly below the best"


def leaders(result: Comparison, measure: Measure) -> dict[str, str]:
  """Returns variant -> BEST, TIED or BELOW, without variants that no test compares with the best.

  The best has the highest mean, so the data themselves choose the pairs that are tested against it.
  Therefore the p-values (t tests paired by seed) are corrected for all pairs of variants (Holm): if
  no variant differed, at most one table in 20 would call one below. A variant is tied if it is not
  below, or equals the best on every common seed. Empty if nothing can be compared with the best.
  """
  measure = functools.cache(measure)  # by run, as each run is in many pairs
  means = [(v, found) for v in result.variants if (found := v.mean(measure))]
  scored = [(v, found.mean) for v, found in means if found.half_width is not None]
  if len(scored) < 2:
    return {}
  best, _ = max(scored, key=lambda item: item[1])
  pairs = list(itertools.combinations([v for v, _ in scored], 2))
  gaps = [a.minus(b, measure) if a is best else b.minus(a, measure) for a, b in pairs]
  p_values = holm([gap.p if gap else None for gap in gaps])
  found = {best.name: BEST}
  for pair, gap, p in zip(pairs, gaps, p_values, strict=True):
    if best in pair and gap and not gap.untested:
      found[next(v.name for v in pair if v is not best)] = _verdict(gap, p)
  return found if len(found) > 1 else {}


def _verdict(gap: Estimate, p: float | None) -> str:
  """Returns BELOW or TIED for the gap of the best minus the other.

  On their common seeds alone the gap may be negative.
  """
  return BELOW if p is not None and p < LEVEL and gap.mean > 0 else TIED
