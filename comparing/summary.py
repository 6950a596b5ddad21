"""The tables of how sure one can be: statistics of each variant alone, and against the baseline."""

import dataclasses

from comparing import robust, scores
from comparing.comparison import Comparison, Measure, Variant, at_end
from comparing.leaders import leaders
from comparing.robust import Interval
from training.estimates import LEVEL, Estimate, holm


@dataclasses.dataclass(frozen=True)
class Statistic:
  """A statistic of n seeds with its bootstrap interval, which fewer than three do not have."""

  value: float
  interval: Interval | None
  n: int


@dataclasses.dataclass(frozen=True)
class VariantSummary:
  """The statistics of one variant. Those that compare it with the baseline are None for that."""

  variant: Variant
  mean: Estimate
  bootstrap: Interval | None  # of the mean
  interquartile: Statistic
  gain: Estimate | None  # over the base policy
  difference: Estimate | None
  p: float | None  # of the difference, corrected for all comparisons of the table
  improvement: Statistic | None  # the probability of scoring above the baseline
  area: Estimate | None
  hypervolume: Estimate | None

  @property
  def is_clear(self) -> bool:
    return self.p is not None and self.p < LEVEL


@dataclasses.dataclass(frozen=True)
class Table:
  """The statistics of one score. `budget` is in rollouts, `kl_limit` in nats; None: unknown."""

  metric: str
  name: str
  budget: float | None
  kl_limit: float | None
  rows: tuple[VariantSummary, ...]
  comparisons: int  # for which the p-values are corrected
  area_leaders: dict[str, str]
  hypervolume_leaders: dict[str, str]


def tables(result: Comparison) -> list[Table]:
  """Returns a table for each score that the variants are compared by."""
  return [_table(result, metric) for metric in scores.primary(result)]


def _table(result: Comparison, metric: str) -> Table:
  measure = at_end(metric)
  budget, limit = scores.budget(result, metric), scores.kl_limit(result)
  area = scores.area(metric, budget) if budget else _nothing
  hypervolume = scores.hypervolume(metric, limit) if limit else _nothing
  differences = [
    None if variant is result.baseline else variant.minus(result.baseline, measure)
    for variant in result.variants
  ]
  p_values = holm([found.p if found else None for found in differences])
  rows = [
    _summary(result, variant, metric, area, hypervolume, difference, p)
    for variant, difference, p in zip(result.variants, differences, p_values, strict=True)
  ]
  return Table(
    metric=metric,
    name=scores.present(result)[metric],
    budget=budget,
    kl_limit=limit,
    rows=tuple(filter(None, rows)),
    comparisons=sum(p is not None for p in p_values),
    area_leaders=leaders(result, area),
    hypervolume_leaders=leaders(result, hypervolume),
  )


def _summary(
  result: Comparison,
  variant: Variant,
  metric: str,
  area: Measure,
  hypervolume: Measure,
  difference: Estimate | None,
  p: float | None,
) -> VariantSummary | None:
  values, baseline = variant.values(at_end(metric)), result.baseline.values(at_end(metric))
  mean = variant.final(metric)
  if not mean:
    return None
  is_compared = variant is not result.baseline and baseline
  return VariantSummary(
    variant=variant,
    mean=mean,
    bootstrap=robust.bootstrap(robust.mean, values),
    interquartile=_statistic(robust.interquartile_mean, values),
    gain=variant.gain(metric),
    difference=difference,
    p=p,
    improvement=_statistic(robust.improvement, values, baseline) if is_compared else None,
    area=variant.mean(area),
    hypervolume=variant.mean(hypervolume),
  )


def _statistic(statistic: robust.Statistic, *samples: list[float]) -> Statistic:
  interval = robust.bootstrap(statistic, *samples)
  return Statistic(robust.of(statistic, *samples), interval, min(map(len, samples)))


def _nothing(run: object) -> None:
  """Measures nothing: no run has a value."""
