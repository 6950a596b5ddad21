"""The wrong link: a logistic loss on Gaussian noise in the labels, and the other way round."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from algorithms.dpo import dpo
from algorithms.probit import probit_dpo, thurstone
from algorithms.reward_model import bradley_terry
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim

RESPONSES, WORLDS = 8, 64
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the true rewards, in units of the noise's link
SHOWN = 1.0
NEWTON_STEPS = 30
SURE = 1.645**2  # (N mean^2 / variance) at which the likelihoods tell the links apart, 19 in 20
# Of each ordered pair (w, l): e_w - e_l, so that PAIRS @ r are the differences r_w - r_l.
PAIRS = (np.eye(RESPONSES)[:, None] - np.eye(RESPONSES))[~np.eye(RESPONSES, dtype=bool)]
# log F(z), the log of the probability of preferring what is better by z.
LINKS = {"logistic": jax.nn.log_sigmoid, "Gaussian": norm.logcdf}
LOSSES = {"logistic": (dpo, bradley_terry), "Gaussian": (probit_dpo, thurstone)}


@dataclasses.dataclass(frozen=True)
class Fits:
  """The wrong link's best fit, over WORLDS: arrays [SPREADS, WORLDS].

  ordered   whether the fitted rewards are in the order of the true ones
  scale     slope of the fitted rewards over the true ones
  off       largest error of a pair's probability
  lost      reward lost: that of the optimum for the true rewards, less that for the fitted ones,
            at the same KL, over what the optimum gains on the reference
  pairs     labelled pairs after which the right link is the likelier in 19 of 20 data sets
  """

  ordered: np.ndarray
  scale: np.ndarray
  off: np.ndarray
  lost: np.ndarray
  pairs: np.ndarray


def link_functions() -> Finding:
  """ "Bradley-Terry is not necessary for a reward model: what comes after needs the right order,
  which the logistic link recovers whatever the noise in the labels." (Sun, Shen and Ton, 2024,
  "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling", arXiv 2411.04991.)

  8 responses with random true rewards, all pairs equally likely. A label prefers w to l with
  probability F(r_w - r_l): F is the logistic function (noise as in Bradley and Terry) or the normal
  distribution's (Gaussian noise, as in Thurstone). Infinitely many labels are fitted with the right
  and with the other link, by Newton's method on the exact expected loss: `bradley_terry` and
  `thurstone` for a reward model, whose minimum is also that of `dpo` and `probit_dpo` in
  beta (h - h_ref); that the pairs of losses agree is checked. Rewards are spread by 0.25 to 4.

  A wrong link changes the scale of the rewards, which beta makes up for, and their shape. The cost
  is therefore measured at the same KL: E[r] under pi_ref exp(r / beta) against E[r] under
  pi_ref exp(r_fit / beta'), beta' such that both are 1 nat from the reference, as a share of what
  the first gains. "Pairs to tell" is the number N of labels after which the right link's best fit
  has the higher likelihood in 19 of 20 data sets (a normal approximation: N m^2 / v = 1.645^2 with
  m and v the mean and variance of the difference of log-likelihoods of a label). Lines are medians
  of 64 worlds, bands the middle 90 % of them.

  It holds if the wrong link keeps the order in all worlds and loses less than 1 % of the gain.
  """
  with jax.enable_x64(True):
    agree = losses_agree()
    return finding_of({truth: fits(truth) for truth in LINKS}, agree)


def fits(truth: str, seed: int = 0) -> Fits:
  rewards = np.random.default_rng(seed).normal(size=(WORLDS, RESPONSES))
  rewards -= rewards.mean(axis=1, keepdims=True)
  spread = np.array(SPREADS)[:, None, None] * rewards
  found = jax.jit(jax.vmap(jax.vmap(lambda r: _fitted(r, truth))))(spread)
  return Fits(*map(np.asarray, found))


def _fitted(r: jax.Array, truth: str) -> tuple[jax.Array, ...]:
  """Returns the fields of `Fits` for one world of true rewards r."""
  (wrong,) = set(LINKS) - {truth}
  log_chances = LINKS[truth](PAIRS @ r)
  fitted = fit(jnp.exp(log_chances), LOSSES[wrong][1])
  believed = LINKS[wrong](PAIRS @ fitted)
  difference = log_chances - believed
  law = jnp.exp(log_chances) * 2 / len(PAIRS)  # of a label: which pair, and which is preferred
  mean, square = law @ difference, law @ difference**2
  return (
    (jnp.diff(fitted[jnp.argsort(r)]) > 0).all(),
    (fitted @ r) / (r @ r),
    jnp.abs(jnp.exp(believed) - jnp.exp(log_chances)).max(),
    1 - _gain(fitted, r) / _gain(r, r),
    SURE * (square - mean**2) / mean**2,
  )


def fit(chances: jax.Array, loss: Callable) -> jax.Array:
  """Returns the scores, of mean 0, that minimise a reward model's expected loss.

  chances: [PAIRS], the probability that the first of each pair is preferred to the second.
  """

  def of_margin(z: jax.Array) -> jax.Array:
    labels, mask = jnp.array([[1.0, 0.0]]), jnp.ones((1, 2, 1), bool)
    return loss(jnp.stack([z, jnp.zeros_like(z)])[None], labels, mask)[0]

  slope, curvature = jax.vmap(jax.grad(of_margin)), jax.vmap(jax.grad(jax.grad(of_margin)))

  def step(_: jax.Array, s: jax.Array) -> jax.Array:
    z = PAIRS @ s
    # Only differences are determined: adding 1 keeps the mean at 0 and the matrix regular.
    hessian = PAIRS.T @ ((chances * curvature(z))[:, None] * PAIRS) + 1
    move = jnp.linalg.solve(hessian, PAIRS.T @ (chances * slope(z)))
    return s - move / jnp.maximum(1, jnp.abs(move).max())  # at most 1: it starts far away

  return jax.lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(RESPONSES))


def _gain(rewards: jax.Array, true: jax.Array) -> jax.Array:
  """Returns E[true] gained over a uniform reference by the policy of these rewards at 1 nat."""

  def policy(log_strength: jax.Array) -> jax.Array:
    return jax.nn.softmax(jnp.exp(log_strength) * rewards)

  def halve(_: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    middle = (ends[0] + ends[1]) / 2
    p = policy(middle)
    kl = jnp.log(RESPONSES) + (p * jnp.log(p + 1e-300)).sum()
    return jnp.where(kl < 1, middle, ends[0]), jnp.where(kl < 1, ends[1], middle)

  low, high = jax.lax.fori_loop(0, 60, halve, (jnp.array(-8.0), jnp.array(8.0)))
  return policy((low + high) / 2) @ true - true.mean()


def losses_agree() -> float:
  """Returns the largest difference between a policy's loss and a reward model's, on h and s."""
  h = jnp.asarray(np.random.default_rng(3).normal(size=(16, 2, 1)))
  labels, mask = jnp.tile(jnp.array([1.0, 0.0]), (16, 1)), jnp.ones((16, 2, 1), bool)
  found = [
    policy(h, jnp.zeros_like(h), labels, mask, beta=0.7)[0]
    - reward_model(0.7 * h[..., 0], labels, mask)[0]
    for policy, reward_model in LOSSES.values()
  ]
  return float(jnp.abs(jnp.stack(found)).max())


def finding_of(found: Mapping[str, Fits], agree: float) -> Finding:
  ordered = all(x.ordered.all() for x in found.values())
  lost = {truth: float(x.lost.max()) for truth, x in found.items()}
  off = {truth: float(x.off.max()) for truth, x in found.items()}
  at = SPREADS.index(SHOWN)
  pairs = {truth: np.median(x.pairs, axis=1) for truth, x in found.items()}
  subclaims = [
    Subclaim(f"the policies' losses are the reward models' ({agree:.0e})", agree < 1e-9),
    Subclaim("the wrong link keeps the order, in all worlds and for all spreads", ordered),
    *(
      Subclaim(f"{truth} noise: the wrong link loses at most {x:.2%} of the gain", x < 0.01)
      for truth, x in lost.items()
    ),
  ]
  verdict = HOLDS if all(subclaim.holds for subclaim in subclaims) else DOES_NOT_HOLD
  scales = ", ".join(f"{np.median(x.scale[at]):.2f} ({t} noise)" for t, x in found.items())
  summary = (
    f"The wrong link keeps the order{'' if ordered else ' in most worlds'} and loses at most "
    f"{max(lost.values()):.2%} of the reward at the same KL. It scales rewards by {scales}, as β "
    f"would, and is off by at most {max(off.values()):.3f} in a pair's probability. To tell the "
    f"links apart takes {pairs['logistic'][at]:,.0f} labelled pairs at a spread of {SHOWN:g}, "
    f"{pairs['logistic'][0]:,.0f} at {SPREADS[0]:g} and {pairs['logistic'][-1]:,.0f} at "
    f"{SPREADS[-1]:g}."
  )
  figures = [
    Figure(f"{truth} noise, spread {spread:g}: {what}", float(values))
    for truth, x in found.items()
    for i, spread in enumerate(SPREADS)
    for what, values in (
      ("largest share of the gain lost", x.lost[i].max()),
      ("scale of the fitted rewards (median)", np.median(x.scale[i])),
      ("largest error of a probability", x.off[i].max()),
      ("pairs to tell the links apart (median)", pairs[truth][i]),
    )
  ]
  return Finding(verdict, summary, figures, _plots(found), subclaims)


def _plots(found: Mapping[str, Fits]) -> list[Plot]:
  x = "spread of the true rewards"

  def plot(title: str, y_label: str, field: str, log_y: bool = True) -> Plot:
    curves = [
      Curve(
        f"{truth} noise",
        list(SPREADS),
        np.median(values, axis=1),
        *np.quantile(values, (0.05, 0.95), axis=1),
      )
      for truth, fits in found.items()
      for values in [getattr(fits, field)]
    ]
    return Plot(title, x, y_label, curves, log_x=True, log_y=log_y)

  z = np.linspace(-4, 4, 81)
  scale = 1.702  # of the logistic that is nearest to the normal distribution
  links = [
    Curve("normal", z, np.asarray(norm.cdf(z))),
    Curve("logistic, 1.7 z", z, 1 / (1 + np.exp(-scale * z))),
  ]
  return [
    plot("Pairs that it takes to tell", "labelled pairs", "pairs"),
    plot("Reward lost at the same KL", "share of the gain", "lost"),
    plot("Scale of the fitted rewards", "slope over the true ones", "scale", log_y=False),
    Plot("The two links", "difference of rewards, in units of the noise", "probability", links),
  ]
