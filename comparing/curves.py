"""Metrics over training as curves: one of each run, and their mean over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from comparing.runs import Run
from training.estimates import Estimate, estimate

MAX_POINTS = 200  # of a curve; more could not be told apart, and would make the page heavy
MAX_PANEL_POINTS = 80  # of a curve in a small panel

Curve = list[tuple[float, float]]
MeanCurve = list[tuple[float, Estimate]]


def curve(run: Run, metric: str, axis: str = "step", width: int = 1) -> Curve:
  """Returns a run's points (axis, metric) in the order of steps, averaged over `width` steps."""
  return [point for _, point in sorted(_binned(run, metric, axis, width).items())]


def mean_curve(runs: Iterable[Run], metric: str, axis: str = "step", width: int = 1) -> MeanCurve:
  """Returns the mean over runs at each step: x of their `axis`, y of their metric."""
  meeting: dict[int, list[tuple[float, float]]] = defaultdict(list)
  for run in runs:
    for step, point in _binned(run, metric, axis, width).items():
      meeting[step].append(point)
  points = []
  for _, found in sorted(meeting.items()):
    x, y = estimate(x for x, _ in found), estimate(y for _, y in found)
    if x and y:
      points.append((x.mean, y))
  return points


def bin_width(runs: Sequence[Run], points: int = MAX_POINTS) -> int:
  """Returns how many steps a point averages, for no curve to have over `points` after step 0."""
  last = max((int(run.rows.steps.max()) for run in runs if len(run.rows)), default=0)
  return -(-last // points) or 1


def _binned(run: Run, metric: str, axis: str, width: int) -> dict[int, tuple[float, float]]:
  """Returns bin -> mean (axis, metric) of rows with both. Step 0, the base policy, has its own."""
  where, y = run.rows.where(metric), run.rows.values(metric)
  x = run.rows.at(axis, where)
  known = np.isfinite(x) & np.isfinite(y)
  steps = run.rows.steps[where[known]]
  numbers, place = np.unique(-(-steps // width), return_inverse=True)
  counts = np.bincount(place)
  means = (np.bincount(place, weights=found[known]) / counts for found in (x, y))
  return dict(
    zip(numbers.tolist(), zip(*(mean.tolist() for mean in means), strict=True), strict=True)
  )
