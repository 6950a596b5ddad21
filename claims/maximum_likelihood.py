"""MaxRL between the policy gradient and maximum likelihood: how many rollouts it takes."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from algorithms.grpo import grpo
from algorithms.other_objectives import maxrl
from claims.binomial import pushes, weights_of
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim

GROUP_SIZES = (2, 4, 16, 64, 256)
SOLVE_RATES = np.linspace(0.01, 0.99, 99)
CLOSE = 0.05  # the relative distance to maximum likelihood that counts as close
ASKED = (0.5, 0.1, 0.02)  # solve rates for which the K that is close enough is told
STEPS, RATE = 300, 0.1  # of ascent in the logit of p
STARTS = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])


@dataclasses.dataclass(frozen=True)
class Weights:
  """Expected gradients: w(p) at SOLVE_RATES by K, each loss's gradient being w(p) grad p."""

  maxrl: Mapping[int, np.ndarray]
  grpo: np.ndarray  # at the largest K


def maximum_likelihood() -> Finding:
  """ "MaxRL interpolates between reinforcement learning and maximum likelihood, and converges to
  the second as the number of rollouts grows." (Tajwar et al., 2026, "Maximum Likelihood
  Reinforcement Learning", arXiv 2602.02710.)

  A prompt is solved with probability p, rewards are 0 or 1. The expected gradient of `maxrl` on
  groups of K is w(p) grad p, computed exactly: the loss's implied rewards, averaged over the
  binomial number of solved responses. Of the policy gradient w is 1, of maximum likelihood 1 / p.
  With the group's mean as baseline the algebra gives

    w(p) = (1 - (1 - p)^(K - 1)) / p

  one term less of the series of log p than there are rollouts. The distance to maximum likelihood
  is that of a batch's gradients, 99 prompts of solve rates 0.01 to 0.99, in the logits of p.

  Then nine prompts, solved in 0.5 % to 80 % at the start, are trained by these expected gradients
  (300 steps in the logit of p). It holds if w is as the algebra says, the distance falls with every
  K, and so does what training loses of the mean log p against maximum likelihood.
  """
  pushed = {k: pushes(maxrl, k) for k in GROUP_SIZES}
  weights = {k: weights_of(R, SOLVE_RATES) for k, R in pushed.items()}
  courses = {f"maxrl, K = {k}": course(lambda p, R=R: weights_of(R, p)) for k, R in pushed.items()}
  courses = {"policy gradient": course(np.ones_like)} | courses
  courses["maximum likelihood"] = course(lambda p: 1 / p)
  largest = weights_of(pushes(grpo, GROUP_SIZES[-1]), SOLVE_RATES)
  return finding_of(Weights(weights, largest), courses)


def course(weight: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
  """Returns the mean log p of the prompts before each step of ascent, and after the last."""
  logits, found = np.log(STARTS / (1 - STARTS)), []
  for _ in range(STEPS + 1):
    p = 1 / (1 + np.exp(-logits))
    found.append(np.log(p).mean())
    logits = logits + RATE * weight(p) * p * (1 - p)  # dp / dlogit = p (1 - p)
  return np.array(found)


def finding_of(weights: Weights, courses: Mapping[str, np.ndarray]) -> Finding:
  p = SOLVE_RATES
  expected = {k: (1 - (1 - p) ** (k - 1)) / p for k in weights.maxrl}
  off = max(float(np.abs(w / expected[k] - 1).max()) for k, w in weights.maxrl.items())
  distance = {k: _distance(w) for k, w in weights.maxrl.items()}
  best = courses["maximum likelihood"][-1]
  lost = {k: float(best - courses[f"maxrl, K = {k}"][-1]) for k in weights.maxrl}
  enough = {rate: _enough(rate) for rate in ASKED}
  subclaims = [
    Subclaim(f"w(p) is (1 − (1 − p)^(K−1)) / p (within {off:.0e})", off < 1e-4),
    Subclaim(
      f"K = 2 is the policy gradient (distance to maximum likelihood {distance[2]:.2f})",
      bool(np.allclose(weights.maxrl[2], 1, atol=1e-4)),
    ),
    Subclaim("a larger K is nearer to maximum likelihood", _falls(distance.values())),
    Subclaim("training with a larger K loses less of its likelihood", _falls(lost.values())),
  ]
  verdict = HOLDS if all(subclaim.holds for subclaim in subclaims) else DOES_NOT_HOLD
  summary = (
    f"At K = {', '.join(map(str, distance))} the gradient of a batch is "
    f"{', '.join(f'{d:.1%}' for d in distance.values())} away from maximum likelihood's. A prompt "
    f"solved in {', '.join(f'{rate:.0%}' for rate in enough)} needs K = "
    f"{', '.join(map(str, enough.values()))} to come within {CLOSE:.0%}: about 3 / p. K = 2 is the "
    f"plain policy gradient."
  )
  figures = [
    *(Figure(f"distance to maximum likelihood, K = {k}", d) for k, d in distance.items()),
    *(Figure(f"K that is within {CLOSE:.0%} at solve rate {x:g}", k) for x, k in enough.items()),
    *(Figure(f"mean log p lost by training, K = {k}, nats", x) for k, x in lost.items()),
    Figure("largest relative error of the formula for w(p)", off),
  ]
  return Finding(verdict, summary, figures, _plots(weights, distance, courses), subclaims)


def _distance(w: np.ndarray) -> float:
  """Returns |g - g_ML| / |g_ML| for the batch's gradients in the logits of p."""
  likelihood = 1 - SOLVE_RATES  # p (1 - p) / p
  return float(
    np.linalg.norm(w * SOLVE_RATES * likelihood - likelihood) / np.linalg.norm(likelihood)
  )


def _enough(p: float) -> int:
  """Returns the least K with (1 - p)^(K - 1) at most CLOSE."""
  return int(np.ceil(1 + np.log(CLOSE) / np.log1p(-p)))


def _falls(values: Iterable[float]) -> bool:
  return bool((np.diff(list(values)) < 0).all())


def _plots(
  weights: Weights, distance: Mapping[int, float], courses: Mapping[str, np.ndarray]
) -> list[Plot]:
  by_rate = [Curve(f"maxrl, K = {k}", SOLVE_RATES, w) for k, w in weights.maxrl.items()]
  half = len(SOLVE_RATES) // 2
  scaled = weights.grpo / weights.grpo[half] / SOLVE_RATES[half]  # as maximum likelihood at 1/2
  by_rate += [
    Curve("grpo, K = 256, scaled", SOLVE_RATES, scaled),
    Curve("maximum likelihood, 1 / p", SOLVE_RATES, 1 / SOLVE_RATES),
  ]
  sizes = list(distance)
  steps = np.arange(STEPS + 1)
  return [
    Plot("Weight of a prompt", "solve rate p", "w(p)", by_rate, log_x=True, log_y=True),
    Plot(
      "Distance of a batch's gradient",
      "responses in a group, K",
      "relative distance to maximum likelihood",
      [Curve("maxrl", sizes, list(distance.values()))],
      log_x=True,
      log_y=True,
    ),
    Plot(
      "Training nine prompts",
      "steps",
      "mean log p, nats",
      [Curve(name, steps, y) for name, y in courses.items()],
    ),
  ]
