"""How the number of responses to a prompt changes the gradient's variance, by difficulty."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from algorithms.grpo import dr_grpo, grpo
from claims.binomial import chances, pushes, solved_first
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim

GROUP_SIZES = (2, 4, 8, 16, 64)
SMALL, LARGE = 2, 16  # the groups that the paper compares
SOLVE_RATES = np.linspace(0.01, 0.99, 99)
SHOWN = (0.02, 0.1, 0.5)
RIGHT, WRONG = 3, 5  # one-token responses of either kind
BARELY = 1.1  # times the variance that counts as made up for
HARD, AS_OFTEN = 0.1, 0.05


@dataclasses.dataclass(frozen=True)
class Moments:
  """A loss's gradient on groups of k, at each of SOLVE_RATES.

  noise    variance of one group's gradient / |mean gradient|^2
  silent   the share of groups that have no gradient
  """

  noise: np.ndarray
  silent: np.ndarray


def group_size() -> Finding:
  """ "The variance that a group of 2 adds is made up for by more prompts in the batch, and hard
  questions need no larger groups, only as many rollouts." (Wu et al., 2025, "It Takes Two: Your
  GRPO Is Secretly DPO", arXiv 2510.00977.)

  A prompt has 8 one-token responses, 3 of them right, in fixed random proportions; all right ones
  together have probability p. A response's score (the gradient of its log-prob in the logits) is
  e_y - pi. Given how many of a group are solved the scores are independent, so the mean and the
  variance of the gradient of `dr_grpo` and `grpo` on a group of K are exact sums over the binomial.
  Variances are summed over coordinates, in units of the squared length of the mean gradient. At
  equal prompts they are those of one group; at equal rollouts they are K times that, because so
  many fewer groups are averaged.

  More prompts make up for small groups if, at equal rollouts, groups of 2 have at most 1.1 times
  the variance of groups of 16; else the claim holds under as many times the rollouts, provided that
  is less than the 8 times that separate the groups. Hard questions (p up to 0.1) need no larger
  groups if eight groups of 2 have a gradient as often as one of 16, within 0.05.
  """
  losses = {"dr_grpo": _dr_grpo, "grpo": grpo}
  return finding_of(
    {name: {k: moments(loss, k) for k in GROUP_SIZES} for name, loss in losses.items()}
  )


def _dr_grpo(logps, old_logps, rewards, mask):
  return dr_grpo(logps, old_logps, rewards, mask, max_tokens=1.0)


def moments(loss: Callable, k: int) -> Moments:
  pushed, solved = pushes(loss, k), solved_first(k)
  silent = chances(k, SOLVE_RATES)[:, np.abs(pushed).max(axis=1) == 0].sum(axis=1)
  per_rate = zip(SOLVE_RATES, chances(k, SOLVE_RATES), strict=True)
  return Moments(np.array([_noise(pushed, solved, p, chance) for p, chance in per_rate]), silent)


def _noise(pushed: np.ndarray, solved: np.ndarray, p: float, chance: np.ndarray) -> float:
  """Returns the variance over the squared mean, from the two kinds' means and variances."""
  right, wrong = _scores(p)
  on_right = np.where(solved, pushed, 0.0)
  on_wrong = np.where(solved, 0.0, pushed)
  # Given n: the mean is a sum over responses of push times mean score, the variance one of squares.
  means = on_right.sum(axis=1)[:, None] * right[0] + on_wrong.sum(axis=1)[:, None] * wrong[0]
  within = (on_right**2).sum(axis=1) * right[1] + (on_wrong**2).sum(axis=1) * wrong[1]
  mean = chance @ means
  between = chance @ ((means - mean) ** 2).sum(axis=1)
  return float((chance @ within + between) / (mean @ mean))


def _scores(p: float) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]:
  """Returns the mean score [8] and its variance (summed), of right and of wrong responses."""
  draw = np.random.default_rng(0)
  kinds = [draw.dirichlet(np.ones(n)) for n in (RIGHT, WRONG)]
  policy = np.concatenate([p * kinds[0], (1 - p) * kinds[1]])
  scores = np.eye(RIGHT + WRONG) - policy  # a row a response
  found = []
  for share, rows in zip(kinds, (scores[:RIGHT], scores[RIGHT:]), strict=True):
    mean = share @ rows
    found.append((mean, float(share @ ((rows - mean) ** 2).sum(axis=1))))
  return found[0], found[1]


def finding_of(found: Mapping[str, Mapping[int, Moments]]) -> Finding:
  growth = {name: SMALL * of[SMALL].noise / (LARGE * of[LARGE].noise) for name, of in found.items()}
  at = [int(np.abs(SOLVE_RATES - p).argmin()) for p in SHOWN]
  least, most = (float(f([f(g) for g in growth.values()])) for f in (np.min, np.max))
  silent = found["grpo"]
  several = silent[SMALL].silent ** (LARGE // SMALL)  # as many rollouts in small groups
  apart = float(np.abs(several - silent[LARGE].silent)[SOLVE_RATES <= HARD].max())
  subclaims = [
    Subclaim(
      f"at equal rollouts groups of {SMALL} have no more variance than those of {LARGE} "
      f"({least:.1f} to {most:.1f} times)",
      most <= BARELY,
    ),
    Subclaim("more prompts make up for it at less than the whole price", most < LARGE / SMALL),
    Subclaim(
      f"hard questions have a gradient as often in {LARGE // SMALL} groups of {SMALL} as in one of "
      f"{LARGE} (within {apart:.3f})",
      apart <= AS_OFTEN,
    ),
    Subclaim(
      "at equal prompts a larger group has less variance, at every solve rate",
      all((np.diff([of[k].noise for k in GROUP_SIZES], axis=0) < 0).all() for of in found.values()),
    ),
  ]
  cheap, *others = subclaims
  if not all(subclaim.holds for subclaim in others):
    verdict = DOES_NOT_HOLD
  else:
    verdict = HOLDS if cheap.holds else f"holds under {least:.1f} to {most:.1f} times the rollouts"
  growths = "; ".join(
    f"{name} {', '.join(f'{g[i]:.2f}' for i in at)}" for name, g in growth.items()
  )
  summary = (
    f"At equal rollouts groups of {SMALL} have, for prompts solved in "
    f"{', '.join(f'{p:.0%}' for p in SHOWN)}, this many times the variance of groups of {LARGE}: "
    f"{growths}. Hard prompts pay least: their groups are mostly silent at any size, and "
    f"{LARGE // SMALL} groups of {SMALL} say something as often as one of {LARGE}."
  )
  figures = [
    Figure(f"{name}, p = {p:g}: variance, K = {SMALL} over {LARGE}, equal rollouts", float(g[i]))
    for name, g in growth.items()
    for p, i in zip(SHOWN, at, strict=True)
  ]
  figures += [
    Figure(f"p = {p:g}: share of groups without a gradient, K = {k}", float(silent[k].silent[i]))
    for p, i in zip(SHOWN, at, strict=True)
    for k in (SMALL, LARGE)
  ]
  return Finding(verdict, summary, figures, _plots(found), subclaims)


def _plots(found: Mapping[str, Mapping[int, Moments]]) -> list[Plot]:
  p = "solve rate p"
  plots = [
    Plot(
      f"{name}: variance at equal rollouts",
      p,
      "K variance / |mean|²",
      [Curve(f"K = {k}", SOLVE_RATES, k * of[k].noise) for k in GROUP_SIZES],
      log_y=True,
    )
    for name, of in found.items()
  ]
  equal = [Curve(f"K = {k}", SOLVE_RATES, found["grpo"][k].noise) for k in GROUP_SIZES]
  silent = [Curve(f"K = {k}", SOLVE_RATES, found["grpo"][k].silent) for k in GROUP_SIZES]
  return [
    *plots,
    Plot("grpo: variance at equal prompts", p, "variance / |mean|²", equal, log_y=True),
    Plot("Groups without a gradient", p, "share of groups", silent),
  ]
