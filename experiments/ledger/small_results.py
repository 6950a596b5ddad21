"""From runs in the small world to what a verdict needs: scores over seeds, differences, curves."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from experiments.comparing.estimates import Estimate, estimate
from experiments.ledger.claim import Curve, Figure
from experiments.ledger.small_training import History, Setup, Variant, train
from experiments.ledger.small_world import Score, base_policy, judge_all


@dataclasses.dataclass(frozen=True)
class Runs:
  """One variant: its score [seeds, snapshots + 1] at `steps`, and its metrics since the last."""

  steps: np.ndarray
  score: Score
  metrics: Mapping[str, np.ndarray]  # [seeds, snapshots]

  @property
  def gain(self) -> np.ndarray:
    """[seeds]: how much more is solved at the end than by the starting policy."""
    return self.score.solved[:, -1] - self.score.solved[:, 0]


def measure(setup: Setup, variants: Mapping[str, Variant], seeds: Sequence[int]) -> dict[str, Runs]:
  """Trains every variant with every seed and judges every snapshot."""
  trained = train(setup, variants, seeds)
  return {name: judged(variants[name].steps, histories) for name, histories in trained.items()}


def judged(steps: int, histories: Sequence[History]) -> Runs:
  scores = [judge_all(history.params, base_policy()) for history in histories]
  score = Score(*(np.stack(part) for part in zip(*scores, strict=True)))
  metrics = jax.tree.map(lambda *runs: np.stack(runs), *(h.metrics for h in histories))
  return Runs(np.linspace(0, steps, score.solved.shape[1]), score, metrics)


def over_seeds(values: np.ndarray | Sequence[float]) -> Estimate:
  """The mean of one number a seed, with its 95 % t interval."""
  found = estimate(np.asarray(values, np.float64).tolist())
  assert found is not None
  return found


def figure(name: str, values: np.ndarray | Sequence[float]) -> Figure:
  found = over_seeds(values)
  return Figure(name, found.mean, found.low, found.high)


def curve(name: str, x: np.ndarray, y: np.ndarray) -> Curve:
  """The mean over seeds of y [seeds, points], with a band of 95 %; x is [points]."""
  found = [over_seeds(column) for column in np.asarray(y).T]
  low, high = [e.low for e in found], [e.high for e in found]
  return Curve(name, np.asarray(x).tolist(), [e.mean for e in found], low, high)


def frontier(name: str, runs: Runs) -> Curve:
  """What is solved against the KL it cost, both means over seeds, from the start to the end."""
  return Curve(name, runs.score.kl.mean(axis=0).tolist(), runs.score.solved.mean(axis=0).tolist())
