"""The scores that runs are compared by (held-out rewards, accuracies), and summaries of curves."""

from collections.abc import Iterable

import numpy as np

from comparing import curves
from comparing.comparison import KL, REWARD, SAMPLED, Comparison, Measure
from comparing.runs import Run

MODEL = "eval/reward_model"
OF_SEVERAL = ("eval/pass@", "eval/maj@")  # of k samples of a prompt, which is behind the @
_RANKED_RIGHT = "share of held-out pairs ranked right"
_NAMES = {  # the name on a button, and the title of an axis; the headline first
  SAMPLED: ("sampled", "held-out reward, sampled"),
  REWARD: ("greedy", "held-out reward, greedy"),
  MODEL: ("sampled, by the reward model", "held-out score by the reward model"),
  "eval/implied_accuracy": ("implied accuracy", _RANKED_RIGHT),
  "eval/accuracy": ("accuracy", _RANKED_RIGHT),
}
_PRIMARY = ((SAMPLED, REWARD), ("eval/implied_accuracy",), ("eval/accuracy",))


def present(result: Comparison) -> dict[str, str]:
  """Returns the scores that some run has, with their names; of a run's pass@k the largest k.

  Runs with other numbers of samples have another one, and another maj@n. The reward model's score
  is among them: if it still rises when the task's own reward does not, it is over-optimised.
  """
  of_runs = [run.rows.known for run in result.runs]
  keys = set().union(*of_runs)
  named = {metric: name for metric, (name, _) in _NAMES.items() if metric in keys}
  several = {m for found in of_runs for kind in OF_SEVERAL for m in of_most(found, kind)}
  return named | {m: m.removeprefix("eval/") for m in sorted(several, key=_samples)}


def of_most(metrics: Iterable[str], kind: str) -> list[str]:
  """Returns the metric that starts with `kind` and is of the most samples, if there is any."""
  return sorted((m for m in metrics if m.startswith(kind)), key=_samples)[-1:]


def _samples(metric: str) -> tuple[int, str]:
  return int(metric.partition("@")[2]), metric


def primary(result: Comparison) -> list[str]:
  """Returns the scores that variants are compared by, the headline first.

  Rewards if there are any (what is trained on is the sampled one), else accuracies.
  """
  for metrics in _PRIMARY:
    if found := [m for m in metrics if any(v.final(m) for v in result.variants)]:
      return found
  return []


def title(metric: str) -> str:
  return _NAMES[metric][1] if metric in _NAMES else f"held-out {metric.removeprefix('eval/')}"


def phrase(metric: str) -> str:
  """Returns the score's name in a sentence, the same for greedy and for sampled responses."""
  return "held-out reward" if metric in (REWARD, SAMPLED) else f"the {title(metric)}"


def budget(result: Comparison, metric: str) -> float | None:
  """Returns the rollouts that all finished runs with such a curve reached; None if none has one."""
  ends = [curve[-1][0] for run in result.finished if (curve := _by_rollouts(run, metric))]
  return min(ends, default=None)


def area(metric: str, rollouts: float) -> Measure:
  """The mean height of the curve of `metric` from 0 to `rollouts`: early gains count for longer.

  It is the area under the straight lines between evaluations, divided by `rollouts`. None for a run
  that ended earlier, or that has no evaluation between step 0 and there: its height would come from
  the base policy and from later evaluations only.
  """

  def of(run: Run) -> float | None:
    points = _by_rollouts(run, metric)
    if not points or points[-1][0] < rollouts or not _was_evaluated(run, metric, rollouts):
      return None
    x, y = np.array(points).T
    grid = np.array([0.0, *x[(x > 0) & (x < rollouts)], rollouts])
    return float(np.trapezoid(np.interp(grid, x, y), grid) / rollouts)

  return of


def kl_limit(result: Comparison) -> float | None:
  """Returns the largest mean final KL of a variant, in nats: frontiers are compared up to there."""
  finals = [found.mean for variant in result.variants if (found := variant.final(KL))]
  largest = max(finals, default=0.0)
  return largest if largest > 0 else None


def hypervolume(metric: str, limit: float) -> Measure:
  """The hypervolume of a run's (KL, score) points from (`limit`, the base policy's), over `limit`.

  That is the gain over the base policy that the run had within a KL budget, averaged over all
  budgets from 0 to `limit`. Its best evaluation within a budget counts.
  """

  def of(run: Run) -> float | None:
    base = run.start(metric)
    kls = run.rows.at(KL, run.rows.where(metric))
    found = np.stack([np.maximum(kls, 0.0), run.rows.values(metric)], axis=1)
    points = sorted(map(tuple, found[np.isfinite(found).all(axis=1)].tolist()))
    if base is None or len(points) < 2:
      return None
    best, volume = base, 0.0
    edges = [kl for kl, _ in points[1:]] + [limit]
    for (kl, score), end in zip(points, edges, strict=True):
      best = max(best, score)
      volume += (best - base) * max(0.0, min(end, limit) - kl)
    return volume / limit

  return of


def _was_evaluated(run: Run, metric: str, rollouts: float) -> bool:
  """Whether there is an evaluation after step 0, with at most so many rollouts."""
  where = run.rows.where(metric)[np.isfinite(run.rows.values(metric))]
  later = where[run.rows.steps[where] > 0]
  return bool((run.rows.at("rollouts", later) <= rollouts).any())  # NaN is not


def _by_rollouts(run: Run, metric: str) -> curves.Curve:
  """Returns the curve against rollouts; empty if there is none: one evaluation, or no rollouts."""
  points = curves.curve(run, metric, "rollouts")
  return points if len(points) > 1 and points[-1][0] > 0 else []
