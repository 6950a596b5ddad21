"""The numbers that verdicts need of runs in the small world: scores over seeds, gains, curves."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from claims.claim import Curve, Figure
from claims.intervals import mean_of
from claims.small_training import History, Variant, in_threads, train
from claims.small_world import base_policy, evaluate_all


@dataclasses.dataclass(frozen=True)
class Runs:
  """The evaluations of one variant's policies: arrays [seeds, snapshots + 1], taken at `steps`.

  `solved`, `graded` and `kl` are those of `small_world.Evaluation`.
  """

  steps: np.ndarray
  solved: np.ndarray
  graded: np.ndarray
  kl: np.ndarray
  metrics: Mapping[str, np.ndarray]  # the loss's, [seeds, snapshots]: means since the one before

  @property
  def gains(self) -> np.ndarray:
    """How much more is solved than by the starting policy, [seeds, snapshots + 1]."""
    return self.solved - self.solved[:, :1]


def measure(variants: Mapping[str, Variant], seeds: Sequence[int]) -> dict[str, Runs]:
  """Trains every variant with every seed and evaluates every snapshot."""
  return evaluated(variants, train(variants, seeds))


def evaluated(
  variants: Mapping[str, Variant], trained: Mapping[str, Sequence[History]]
) -> dict[str, Runs]:
  """Evaluates every snapshot. The KL is to the base policy, wherever training started."""
  jobs = [(history.params, base_policy()) for runs in trained.values() for history in runs]
  scores = iter(in_threads(evaluate_all, jobs, compiling=[0]))
  found = {}
  for name, histories in trained.items():
    score = jax.tree.map(lambda *runs: np.stack(runs), *(next(scores) for _ in histories))
    metrics = jax.tree.map(lambda *runs: np.stack(runs), *(h.metrics for h in histories))
    steps = np.linspace(0, variants[name].steps, score.solved.shape[1])
    found[name] = Runs(steps, **score._asdict(), metrics=metrics)
  return found


over_seeds = mean_of  # of one number a seed


def figure(name: str, values: np.ndarray | Sequence[float]) -> Figure:
  found = over_seeds(values)
  return Figure(name, found.mean, found.low, found.high)


def curve(name: str, x: np.ndarray, y: np.ndarray) -> Curve:
  """Returns the mean over seeds of y [seeds, points], with a band of 95 %; x is [points]."""
  found = [over_seeds(column) for column in np.asarray(y).T]
  low, high = [e.low for e in found], [e.high for e in found]
  return Curve(name, np.asarray(x).tolist(), [e.mean for e in found], low, high)


def frontier(name: str, runs: Runs) -> Curve:
  """Returns the share solved against the KL, both means over seeds, from the start to the end."""
  return Curve(name, runs.kl.mean(axis=0).tolist(), runs.solved.mean(axis=0).tolist())
