"""The optimum of KL-regularised training: its closed form, and two roads to it."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.dpo import dpo
from algorithms.reinforce import reinforce
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim
from claims.intervals import mean_of
from training.estimates import Estimate

RESPONSES = 8
BETAS = (0.2, 0.5, 1.0)
GRADIENT_STEPS, PAIR_STEPS = 10_000, 1_000
DATA_BETA, DATA_SEEDS = 0.5, 20
DATA_SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)  # pairs
REACHED = 1e-3  # total variation below which the optimum counts as reached


@dataclasses.dataclass(frozen=True)
class Road:
  """A training run towards pi*: total variation to pi* before each step, and the last policy."""

  beta: float
  distance: np.ndarray
  end: np.ndarray
  optimum: np.ndarray


def optimum() -> Finding:
  """ "The optimum of E[r] - beta KL(pi || pi_ref) is pi* proportional to pi_ref exp(r / beta); the
  policy gradient with the KL in the reward reaches it, and so does DPO on Bradley-Terry data."
  (Rafailov et al., 2023, sections 3 and 4.)

  8 one-token responses with a random reference and random rewards r; policies are softmax of
  logits, start at the reference and follow exact gradients, so nothing but the objective decides
  where they end. Policy gradient: `reinforce` with beta in the reward, each response weighted by
  its probability, step size 1. DPO: `dpo` on every ordered pair, weighted by the probability that
  two draws of the reference are this pair and that the Bradley-Terry model of r prefers the first,
  step size 8 / beta^2. The distance to pi* is the total variation, half the sum of |pi - pi*|.

  Then DPO on drawn pairs, 100 to a million, 20 data sets each: its error should fall as one over
  the root of the number of pairs. It holds if both roads end within 0.001 of pi* for every beta,
  and the fitted power from 1,000 pairs on is -0.5 within 0.1.
  """
  with jax.enable_x64(True):
    rewards, ref_logps = _world()
    gradient = [_policy_gradient(rewards, ref_logps, beta) for beta in BETAS]
    pairs = [_pairs(rewards, ref_logps, beta) for beta in BETAS]
    return finding_of(gradient, pairs, _sampled(rewards, ref_logps))


def _world() -> tuple[np.ndarray, np.ndarray]:
  """Rewards and the reference's log-probs."""
  draw = np.random.default_rng(0)
  logits, rewards = draw.normal(size=(2, RESPONSES))
  return rewards, logits - np.logaddexp.reduce(logits)


def _optimum(rewards: np.ndarray, ref_logps: np.ndarray, beta: float) -> np.ndarray:
  scores = ref_logps + rewards / beta
  return np.exp(scores - np.logaddexp.reduce(scores))


def _policy_gradient(rewards: np.ndarray, ref_logps: np.ndarray, beta: float) -> Road:
  def loss(logits: jax.Array) -> jax.Array:
    logps = jax.nn.log_softmax(logits)

    def of_response(y: jax.Array) -> jax.Array:
      one = (logps[y][None, None, None], jnp.asarray(rewards)[y][None, None])
      ref = jnp.asarray(ref_logps)[y][None, None, None]
      return reinforce(*one, jnp.ones((1, 1, 1), bool), ref, beta=beta, baseline="none")[0]

    chances = jax.lax.stop_gradient(jnp.exp(logps))
    return chances @ jax.vmap(of_response)(jnp.arange(RESPONSES))

  best = _optimum(rewards, ref_logps, beta)
  return Road(beta, *_descend(loss, ref_logps, best, 1.0, GRADIENT_STEPS), best)


def _pairs(rewards: np.ndarray, ref_logps: np.ndarray, beta: float) -> Road:
  def loss(logits: jax.Array) -> jax.Array:
    return _pair_loss(logits, chances, ref_logps, beta)

  chances = jnp.asarray(_pair_chances(rewards, ref_logps))
  best = _optimum(rewards, ref_logps, beta)
  return Road(beta, *_descend(loss, ref_logps, best, 8 / beta**2, PAIR_STEPS), best)


def _pair_chances(rewards: np.ndarray, ref_logps: np.ndarray) -> np.ndarray:
  """Returns the probability of each pair, [w, l]: two different draws, w preferred to l."""
  drawn = np.exp(ref_logps[:, None] + ref_logps) * (1 - np.eye(RESPONSES))
  preferred = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
  return drawn * preferred / (drawn * preferred).sum()


def _pair_loss(
  logits: jax.Array, weights: jax.Array, ref_logps: np.ndarray, beta: float
) -> jax.Array:
  """Returns the sum over pairs of weight times `dpo`."""
  logps = jax.nn.log_softmax(logits)
  better, worse = np.nonzero(1 - np.eye(RESPONSES))
  pairs = jnp.stack([better, worse], axis=1)

  def of_pair(pair: jax.Array) -> jax.Array:
    two = (logps[pair][None, :, None], jnp.asarray(ref_logps)[pair][None, :, None])
    return dpo(*two, jnp.array([[1.0, 0.0]]), jnp.ones((1, 2, 1), bool), beta=beta)[0]

  return weights[better, worse] @ jax.vmap(of_pair)(pairs)


def _descend(
  loss: Callable, start: np.ndarray, best: np.ndarray, step_size: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
  """Descends from `start`; returns the distance to `best` before each step, and the last policy."""

  def step(logits: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    distance = jnp.abs(jax.nn.softmax(logits) - best).sum() / 2
    return logits - step_size * jax.grad(loss)(logits), distance

  descend = jax.jit(lambda logits: jax.lax.scan(step, logits, None, length=steps))
  logits, distance = descend(jnp.asarray(start))
  return np.asarray(distance), np.asarray(jax.nn.softmax(logits))


def _sampled(rewards: np.ndarray, ref_logps: np.ndarray) -> dict[int, Estimate]:
  """Returns number of pairs -> the final distance to pi* of DPO on so many drawn pairs."""
  chances = _pair_chances(rewards, ref_logps)
  best = _optimum(rewards, ref_logps, DATA_BETA)
  draw = np.random.default_rng(1)

  @jax.jit
  @jax.vmap
  def end(shares: jax.Array) -> jax.Array:
    def step(_: jax.Array, logits: jax.Array) -> jax.Array:
      return logits - 8 / DATA_BETA**2 * gradient(logits, shares, ref_logps, DATA_BETA)

    logits = jax.lax.fori_loop(0, PAIR_STEPS, step, jnp.asarray(ref_logps))
    return jnp.abs(jax.nn.softmax(logits) - best).sum() / 2

  gradient = jax.grad(_pair_loss)
  found = {}
  for size in DATA_SIZES:
    drawn = draw.multinomial(size, chances.ravel(), size=DATA_SEEDS) / size
    found[size] = mean_of(end(jnp.asarray(drawn.reshape(-1, *chances.shape))))
  return found


def finding_of(
  gradient: Sequence[Road], pairs: Sequence[Road], sampled: dict[int, Estimate]
) -> Finding:
  roads = [float(max(r.distance[-1] for r in found)) for found in (gradient, pairs)]
  many = [size for size in sampled if size >= 1_000]
  power = float(np.polyfit(np.log(many), np.log([sampled[n].mean for n in many]), 1)[0])
  subclaims = [
    Subclaim(f"the policy gradient reaches π* (distance {roads[0]:.0e})", roads[0] < REACHED),
    Subclaim(f"DPO on all pairs reaches it (distance {roads[1]:.0e})", roads[1] < REACHED),
    Subclaim(f"DPO's error falls as the root of the data (N^{power:.2f})", abs(power + 0.5) < 0.1),
  ]
  summary = (
    f"For β = {', '.join(f'{r.beta:g}' for r in gradient)} the policy gradient ends within "
    f"{roads[0]:.0e} of π* in total variation after {len(gradient[0].distance):,} "
    f"steps and DPO within {roads[1]:.0e} after {len(pairs[0].distance):,}; on drawn pairs DPO's "
    f"error falls as N^{power:.2f}, to {sampled[many[-1]].mean:.4f} at {many[-1]:,}."
  )
  figures = [
    *_figures("policy gradient", gradient),
    *_figures("dpo", pairs),
    *(
      Figure(f"dpo on {size:,} drawn pairs, β = {DATA_BETA:g}: distance", x.mean, x.low, x.high)
      for size, x in sampled.items()
    ),
    Figure("power with which that falls in the number of pairs", power),
  ]
  verdict = HOLDS if all(subclaim.holds for subclaim in subclaims) else DOES_NOT_HOLD
  return Finding(verdict, summary, figures, _plots(gradient, pairs, sampled), subclaims)


def _figures(name: str, roads: Sequence[Road]) -> list[Figure]:
  return [
    Figure(f"{name}, β = {road.beta:g}: distance to π* at the end", float(road.distance[-1]))
    for road in roads
  ]


def _plots(
  gradient: Sequence[Road], pairs: Sequence[Road], sampled: dict[int, Estimate]
) -> list[Plot]:
  distance = "total variation to π*"
  sizes, found = list(sampled), list(sampled.values())
  error = Curve(
    f"dpo, β = {DATA_BETA:g}",
    sizes,
    [x.mean for x in found],
    [x.low for x in found],
    [x.high for x in found],
  )
  root = Curve("N^−1/2", sizes, [found[-1].mean * (sizes[-1] / n) ** 0.5 for n in sizes])
  ends = next((g, p) for g, p in zip(gradient, pairs, strict=True) if g.beta == DATA_BETA)
  names = np.arange(1, RESPONSES + 1)
  policies = {"π*": ends[0].optimum, "policy gradient": ends[0].end, "dpo": ends[1].end}
  return [
    Plot(
      "Policy gradient, KL in the reward",
      "steps",
      distance,
      [_curve(r) for r in gradient],
      log_x=True,
      log_y=True,
    ),
    Plot("DPO, all pairs", "steps", distance, [_curve(r) for r in pairs], log_x=True, log_y=True),
    Plot("DPO, drawn pairs", "pairs N", distance, [error, root], log_x=True, log_y=True),
    Plot(
      f"The policies at β = {DATA_BETA:g}",
      "response",
      "probability",
      [Curve(name, names, p, points=True) for name, p in policies.items()],
    ),
  ]


def _curve(road: Road) -> Curve:
  at = np.unique(np.geomspace(1, len(road.distance), 80).round().astype(int))
  return Curve(f"β = {road.beta:g}", at, np.maximum(road.distance[at - 1], 1e-16))
