"""Metrics over training as curves: one of each run, and their mean over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from comparing.runs import Run, value
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
  last = max((int(row["step"]) for run in runs for row in run.rows), default=0)
  return -(-last // points) or 1


def _binned(run: Run, metric: str, axis: str, width: int) -> dict[int, tuple[float, float]]:
  """Returns bin -> mean (axis, metric) of rows with both. Step 0, the base policy, has its own."""
  bins: dict[int, list[tuple[float, float]]] = defaultdict(list)
  for row in (row for row in run.rows if metric in row):
    x, y = value(row, axis), value(row, metric)
    if x is not None and y is not None:
      bins[-(-int(row["step"]) // width)].append((x, y))
  return {
    number: (sum(x for x, _ in found) / len(found), sum(y for _, y in found) / len(found))
    for number, found in bins.items()
  }
