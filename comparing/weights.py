"""How the weight that each loss puts on the best and the worst response changes in training."""

import dataclasses

import numpy as np

from comparing.comparison import Comparison, Measure, Variant
from comparing.plots import BEST, WORST
from comparing.runs import Run
from training.estimates import Estimate


@dataclasses.dataclass(frozen=True)
class VariantWeights:
  """A variant's weights as (mean over the first tenth of the steps, mean over the last tenth)."""

  variant: Variant
  best: tuple[Estimate | None, Estimate | None]
  worst: tuple[Estimate | None, Estimate | None]


def by_variant(result: Comparison) -> list[VariantWeights]:
  """Returns the weights of each variant whose finished runs logged them."""
  found = [
    VariantWeights(v, _start_and_end(v, BEST), _start_and_end(v, WORST)) for v in result.variants
  ]
  return [weights for weights in found if weights.best[0] or weights.worst[0]]


def _start_and_end(variant: Variant, metric: str) -> tuple[Estimate | None, Estimate | None]:
  return variant.mean(_tenth(metric, last=False)), variant.mean(_tenth(metric, last=True))


def _tenth(metric: str, last: bool) -> Measure:
  def of(run: Run) -> float | None:
    values = run.rows.values(metric)
    found = values[np.isfinite(values)].tolist()
    size = max(1, len(found) // 10)
    chosen = found[-size:] if last else found[:size]
    return sum(chosen) / len(chosen) if chosen else None

  return of
