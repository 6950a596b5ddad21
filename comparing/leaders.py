"""Which variant has the highest mean, and which of the others the seeds put below it."""

import functools
import itertools

from comparing.comparison import Comparison, Measure
from training.estimates import LEVEL, Estimate, holm

BEST, TIED, BELOW = "best", "tied with the best", "clearly below the best"


def leaders(result: Comparison, measure: Measure) -> dict[str, str]:
  """Variant -> BEST, TIED or BELOW; without those that no test compares with the best.

  The best is the highest mean that was seen, so which pairs are tested against it is itself chosen
  by the data: corrected are the p-values of all pairs (Holm), paired by seed. If no variant
  differed, one table in 20 at most would call one below. A variant is tied that is not below, or
  equals the best on every common seed. Empty if nothing can be compared with the best.
  """
  measure = functools.cache(measure)  # of a run: each is in many pairs
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
  """`gap`: the best minus the other; on the common seeds alone it may be the other's favour."""
  return BELOW if p is not None and p < LEVEL and gap.mean > 0 else TIED
