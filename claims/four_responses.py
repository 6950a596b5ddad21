"""DPO on four responses of known quality: how beta changes where training ends."""

import dataclasses
from collections.abc import Callable

import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim
from claims.intervals import mean_of

QUALITIES = np.array([0.0, 1.0, 2.0, 2.8])  # of responses A, B, C, D
SEEDS, PAIRS, LAST = 200, 500, 100
BETAS = (0.1, 0.5, 2.0)
LARGEST_KL = float(np.log(4))  # with all probability on one response
STEP_SIZES = {  # the step size eta as a function of beta
  "η = 0.5": lambda beta: 0.5,
  "η = 0.05": lambda beta: 0.05,
  "η = 0.25/β": lambda beta: 0.25 / beta,
}


@dataclasses.dataclass(frozen=True)
class Course:
  """The runs of one beta and one step size: arrays [PAIRS, SEEDS], with a value after each pair."""

  beta: float
  gap: np.ndarray  # beta (h_D - h_A); the true difference in quality is 2.8
  kl: np.ndarray  # KL(pi || pi_ref), nats
  in_order: np.ndarray  # bool: whether the implied rewards are in the order of the qualities


def four_responses() -> Finding:
  """ "On four responses of qualities 0, 1, 2 and 2.8, a moderate beta snaps into order, beta = 0.1
  runs away and beta = 2 barely moves." (A demonstration used in courses on DPO; no paper.)

  The reference is uniform. Each pair is two different responses, all couples equally likely; the
  winner w is drawn from the Bradley-Terry model of the qualities, and one gradient step of DPO's
  loss follows:

    logits += eta beta sigmoid(-z) (grad log pi_w - grad log pi_l),   z = beta (h_w - h_l)

  for 500 pairs, 200 seeds, beta = 0.1, 0.5, 2. Because beta scales the step as well as the margin,
  this is done for eta = 0.5, for a smaller eta = 0.05, and for eta = 0.25 / beta, which gives all
  betas the same step in the logits (nearly what Adam would do).

  "Snaps into order": for beta = 0.5 the four implied rewards beta h end in the order of the
  qualities in 90 % of the seeds. "Runs away": for beta = 0.1 the KL to the reference ends above
  that of beta = 0.5 and still rises in the last 100 pairs, both beyond 95 % intervals. "Barely
  moves": for beta = 2 the KL ends below a fifth of its largest value, log 4. It holds if all three
  subclaims do at eta = 0.5, else under the step sizes at which all three do.
  """
  return finding_of({name: courses(eta) for name, eta in STEP_SIZES.items()})


def courses(eta: Callable[[float], float]) -> list[Course]:
  return [course(beta, eta(beta)) for beta in BETAS]


def course(beta: float, eta: float, seed: int = 0) -> Course:
  """Runs all seeds side by side."""
  draw = np.random.default_rng(seed)
  rows = np.arange(SEEDS)
  logits = np.zeros((SEEDS, 4))
  after = np.empty((PAIRS, SEEDS, 4))
  for step in range(PAIRS):
    first = draw.integers(0, 4, SEEDS)
    second = (first + draw.integers(1, 4, SEEDS)) % 4
    wins = draw.random(SEEDS) < sigmoid(QUALITIES[first] - QUALITIES[second])
    better, worse = np.where(wins, first, second), np.where(wins, second, first)
    z = beta * (logits[rows, better] - logits[rows, worse])  # reference and normaliser cancel
    push = eta * beta * sigmoid(-z)
    logits[rows, better] += push  # grad log pi_w - grad log pi_l is 1 at w and -1 at l
    logits[rows, worse] -= push
    after[step] = logits
  logps = after - np.logaddexp.reduce(after, axis=-1, keepdims=True)
  h = logps + LARGEST_KL
  return Course(
    beta=beta,
    gap=beta * (h[..., 3] - h[..., 0]),
    kl=(np.exp(logps) * h).sum(axis=-1),
    in_order=np.diff(h, axis=-1).min(axis=-1) > 0,
  )


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def finding_of(found: dict[str, list[Course]]) -> Finding:
  """Returns the finding; `found` has the courses of BETAS by step-size rule, the claim's first."""
  subclaims = {name: _subclaims(name, *three) for name, three in found.items()}
  good = [name for name, three in subclaims.items() if all(subclaim.holds for subclaim in three)]
  stated, three = next(iter(found.items()))
  verdict = HOLDS if stated in good else DOES_NOT_HOLD
  if good and stated not in good:
    verdict = f"holds under {' or '.join(good)}"
  summary = (
    f"At {stated} and β = {_listed(three, lambda c: f'{c.beta:g}')}: in order in "
    f"{_listed(three, lambda c: f'{c.in_order[-1].mean():.0%}')} of the seeds, implied gap "
    f"{_listed(three, lambda c: f'{c.gap[-1].mean():.2f}')} (truth: 2.8), KL "
    f"{_listed(three, lambda c: f'{c.kl[-1].mean():.2f}')} of at most {LARGEST_KL:.2f} nats. "
    f"All three subclaims hold at {' and '.join(good) or 'no step size'}."
  )
  figures = [figure for name, three in found.items() for c in three for figure in _figures(name, c)]
  every_subclaim = [subclaim for three in subclaims.values() for subclaim in three]
  return Finding(verdict, summary, figures, _plots(found), every_subclaim)


def _listed(courses: list[Course], text: Callable[[Course], str]) -> str:
  return ", ".join(text(course) for course in courses)


def _subclaims(name: str, small: Course, moderate: Course, large: Course) -> list[Subclaim]:
  above = mean_of(small.kl[-1] - moderate.kl[-1])
  rise = mean_of(small.kl[-1] - small.kl[-LAST])
  return [
    Subclaim(
      f"{name}: β = {moderate.beta:g} comes into order "
      f"({moderate.in_order[-1].mean():.0%} of the seeds)",
      bool(moderate.in_order[-1].mean() >= 0.9),
    ),
    Subclaim(
      f"{name}: β = {small.beta:g} runs away (KL {small.kl[-1].mean():.2f}, "
      f"{rise.signed()} in the last {LAST} pairs)",
      above.low > 0 and rise.low > 0,
    ),
    Subclaim(
      f"{name}: β = {large.beta:g} barely moves (KL {large.kl[-1].mean():.2f})",
      bool(large.kl[-1].mean() < LARGEST_KL / 5),
    ),
  ]


def _figures(name: str, course: Course) -> list[Figure]:
  where = f"{name}, β = {course.beta:g}"
  gap, kl = mean_of(course.gap[-1]), mean_of(course.kl[-1])
  return [
    Figure(f"{where}: implied reward gap D − A", gap.mean, gap.low, gap.high),
    Figure(f"{where}: KL to the reference, nats", kl.mean, kl.low, kl.high),
    Figure(f"{where}: share of seeds in order", float(course.in_order[-1].mean())),
  ]


def _plots(found: dict[str, list[Course]]) -> list[Plot]:
  plots = []
  for name, three in found.items():
    ordered = [_curve(c, c.in_order, band=False) for c in three]
    divergences = [_curve(c, c.kl) for c in three]
    plots += [
      Plot(f"Seeds in the right order, {name}", "pairs seen", "share of seeds", ordered),
      Plot(f"KL to the reference, {name}", "pairs seen", "KL, nats", divergences),
    ]
  return plots


def _curve(course: Course, values: np.ndarray, band: bool = True) -> Curve:
  """Returns the mean over seeds, with the middle 95 % of them as the band."""
  at = np.unique(np.geomspace(1, PAIRS, 60).round().astype(int)) - 1
  low, high = np.quantile(values[at], (0.025, 0.975), axis=1) if band else (None, None)
  return Curve(f"β = {course.beta:g}", at + 1, values[at].mean(axis=1), low, high)
