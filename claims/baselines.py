"""The effect on the expected policy gradient of subtracting a group's mean reward."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.grpo import dr_grpo
from algorithms.reinforce import reinforce, rloo
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot
from claims.intervals import may_be, mean_of
from training.estimates import Estimate

RESPONSES = 6
GROUP_SIZES = (2, 4, 8)
BATCHES, GROUPS = 200, 1000  # batches, and groups in each batch


@dataclasses.dataclass(frozen=True)
class Measured:
  """A loss's mean gradient at one group size, compared with g, the exact gradient of E[reward]."""

  loss: str
  k: int
  scale: Estimate  # the mean gradient's component along g, in units of |g|
  aside: float  # the length of its component perpendicular to g, in units of |g|
  variance: float  # of the gradient of one group, summed over coordinates, in units of |g|^2


def baselines() -> Finding:
  """ "The group mean as a baseline scales the expected gradient by 1 - 1/K; the mean of the others
  (leave one out) leaves it unbiased." (Ahmadian et al., 2024, on RLOO; Liu et al., 2025, appendix.)

  A policy over 6 one-token responses, softmax of random logits, with fixed random rewards, has the
  exact gradient g = grad sum_y pi(y) r(y). For K = 2, 4, 8 groups of K responses are drawn from it,
  200,000 a group size, and the gradients in the logits of `dr_grpo` (group mean), `rloo` (leave one
  out; beta = 0) and `reinforce` (no baseline) are averaged. Reported are the component along g in
  units of |g|, with its 95 % t interval over 200 batches, and the length of the perpendicular one.

  It holds if, at every K, 1 - 1/K lies within twice the half width of the group mean's interval and
  1 does not, and 1 lies within twice that of leave one out.
  """
  return finding_of([found for k in GROUP_SIZES for found in measure(k)])


def _group_mean(logps, old_logps, rewards, mask):
  return dr_grpo(logps, old_logps, rewards, mask, max_tokens=1.0)


def _leave_one_out(logps, old_logps, rewards, mask):
  return rloo(logps, old_logps, rewards, mask, beta=0.0)


def _no_baseline(logps, old_logps, rewards, mask):
  return reinforce(logps, rewards, mask, baseline="none")


LOSSES = {
  "group mean (dr_grpo)": _group_mean,
  "leave one out (rloo)": _leave_one_out,
  "no baseline (reinforce)": _no_baseline,
}


def measure(k: int, seed: int = 0) -> list[Measured]:
  """Draws groups of k responses and averages each loss's gradient over them."""
  draw = np.random.default_rng(seed)
  logits, rewards = draw.normal(size=(2, RESPONSES)) + [[0.0], [1.0]]
  p = np.exp(logits) / np.exp(logits).sum()
  exact = p * (rewards - p @ rewards)  # the gradient of p @ rewards in the logits
  length = np.linalg.norm(exact)
  drawn = draw.choice(RESPONSES, size=(BATCHES, GROUPS, k), p=p)
  found = []
  for name, upwards in _gradients(*map(jnp.asarray, (logits, rewards, drawn))).items():
    gradients = np.asarray(upwards, np.float64)
    along = gradients @ exact / length**2
    aside = np.linalg.norm(gradients.mean(axis=0) - along.mean() * exact) / length
    variance = GROUPS * gradients.var(axis=0, ddof=1).sum() / length**2
    found.append(Measured(name, k, mean_of(along), float(aside), float(variance)))
  return found


@jax.jit
def _gradients(logits: jax.Array, rewards: jax.Array, drawn: jax.Array) -> dict[str, jax.Array]:
  """Returns minus each loss's gradient in the logits, one a batch: [BATCHES, RESPONSES]."""

  def of_batch(batch: jax.Array) -> dict[str, jax.Array]:
    found = {}
    for name, loss in LOSSES.items():

      def of_logits(x: jax.Array, loss: Callable = loss) -> jax.Array:
        logps = jax.nn.log_softmax(x)[batch][..., None]
        return loss(logps, logps, rewards[batch], jnp.ones_like(logps, bool))[0]

      found[name] = -jax.grad(of_logits)(logits)
    return found

  return jax.lax.map(of_batch, drawn)


def finding_of(measured: Sequence[Measured]) -> Finding:
  """Returns the finding; `measured` has all losses at all group sizes."""
  of = {name: [m for m in measured if m.loss == name] for name in LOSSES}
  mean, others, _ = of.values()
  holds = all(may_be(m.scale, 1 - 1 / m.k) and not may_be(m.scale, 1.0) for m in mean)
  holds &= all(may_be(m.scale, 1.0) for m in others)
  figures = [
    Figure(f"scale, {m.loss}, K = {m.k}", m.scale.mean, m.scale.low, m.scale.high) for m in measured
  ]
  figures += [Figure(f"aside of g, {m.loss}, K = {m.k}", m.aside) for m in measured]
  sizes = " / ".join(str(m.k) for m in mean)
  summary = (
    f"At K = {sizes} the group mean scales the gradient by "
    f"{' / '.join(f'{m.scale.mean:.3f}' for m in mean)} "
    f"(1 - 1/K = {' / '.join(f'{1 - 1 / m.k:.3f}' for m in mean)}), leave one out by "
    f"{' / '.join(f'{m.scale.mean:.3f}' for m in others)}; intervals are at most "
    f"± {max(m.scale.half_width or 0.0 for m in [*mean, *others]):.3f}."
  )
  plots = [
    Plot(
      "Scale of the expected gradient",
      "responses in a group, K",
      "component along the exact gradient",
      [_curve(name, found) for name, found in of.items()]
      + [Curve("1 − 1/K", (x := np.linspace(2, 8, 40)), 1 - 1 / x)],
    ),
    Plot(
      "What a baseline is for: variance",
      "responses in a group, K",
      "variance of a group's gradient / |g|²",
      [
        Curve(name, [m.k for m in found], [m.variance for m in found]) for name, found in of.items()
      ],
      log_y=True,
    ),
  ]
  return Finding(HOLDS if holds else DOES_NOT_HOLD, summary, figures, plots)


def _curve(name: str, found: Sequence[Measured]) -> Curve:
  k, scales = [m.k for m in found], [m.scale for m in found]
  low, high = [s.low for s in scales], [s.high for s in scales]
  return Curve(name, k, [s.mean for s in scales], low, high, points=True)
