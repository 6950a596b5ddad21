"""The expansion of DPO's loss around a margin of 0, where training begins, and its error."""

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.dpo import dpo
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot

LOG_2 = float(np.log(2.0))
BETA = 0.1


def dpo_expansion() -> Finding:
  """ "Near the reference DPO's loss is log 2 - z/2 + z^2/8, with an error of order z^4."
  (Rafailov et al., 2023, eq. 7, expanded at z = 0.)

  z = beta (h_w - h_l) is the margin of a pair, 0 at the reference. `algorithms.dpo` itself, in
  float64, is evaluated on single pairs of responses of 3 to 12 tokens whose log-probs were moved
  from the reference by random amounts, scaled so that the margin is z, for |z| from 1/32 to 8. The
  order of the error is the slope of log |error| against log |z| below |z| = 1/2, fitted for
  both signs of z together; the next term of the series is -z^4 / 192.

  It holds if the fitted order is 4 within 0.05 and the coefficient is -1/192 within 2 %.
  """
  z = np.geomspace(1 / 32, 8, 33)
  z = np.concatenate([-z[::-1], z])
  loss = dpo_at(z)
  errors = {
    "log 2 - z/2": loss - (LOG_2 - z / 2),
    "log 2 - z/2 + z²/8": loss - (LOG_2 - z / 2 + z**2 / 8),
  }
  return finding_of(z, loss, errors)


def dpo_at(z: np.ndarray) -> np.ndarray:
  """Returns the loss of `dpo` on a pair of margin z, for each of these margins."""
  with jax.enable_x64(True):
    keys = jax.random.split(jax.random.key(0), len(z))
    return np.asarray(jax.jit(jax.vmap(_loss))(keys, jnp.asarray(z)))


def _loss(key: jax.Array, z: jax.Array) -> jax.Array:
  k_ref, k_move, k_length = jax.random.split(key, 3)
  mask = jnp.arange(12) < jax.random.randint(k_length, (1, 2, 1), 3, 13)
  ref_logps = -jax.random.exponential(k_ref, (1, 2, 12))
  move = jnp.where(mask, jax.random.normal(k_move, (1, 2, 12)), 0.0)
  h = move.sum(axis=-1)
  scale = z / (BETA * (h[0, 0] - h[0, 1]))  # makes beta (h_w - h_l) equal z
  return dpo(ref_logps + scale * move, ref_logps, jnp.array([[1.0, 0.0]]), mask, beta=BETA)[0]


def finding_of(z: np.ndarray, loss: np.ndarray, errors: dict[str, np.ndarray]) -> Finding:
  """Returns the finding: the order and the coefficient of the last of `errors` decide."""
  fits = {name: _fit(z, error) for name, error in errors.items()}
  (order, low, high), coefficient = list(fits.values())[-1]
  holds = abs(order - 4) < 0.05 and abs(coefficient * 192 + 1) < 0.02
  relative = np.abs(list(errors.values())[-1]) / loss
  within = np.abs(z)[relative < 0.01].max()
  summary = (
    f"The error is of order z^{order:.3f} with a coefficient of {coefficient:.5f} "
    f"(-1/192 = {-1 / 192:.5f}); it is below 1 % of the loss up to |z| = {within:.2g}."
  )
  figures = [
    Figure("order of the error of log 2 - z/2 + z²/8", order, low, high),
    Figure("its coefficient", coefficient),
    Figure("the next term of the series, -1/192", -1 / 192),
    Figure("order of the error of log 2 - z/2 alone", *list(fits.values())[0][0]),
    Figure("largest |z| with an error below 1 % of the loss", within),
  ]
  return Finding(HOLDS if holds else DOES_NOT_HOLD, summary, figures, _plots(z, loss, errors))


def _fit(z: np.ndarray, error: np.ndarray) -> tuple[tuple[float, float, float], float]:
  """Returns log |error|'s slope over log |z| near 0, its 95 % interval, and error / z^order."""
  near = np.abs(z) < 0.5
  x, y = np.log(np.abs(z[near])), np.log(np.abs(error[near]))
  (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
  spread = 1.96 * float(np.sqrt(covariance[0, 0]))
  smallest = np.abs(z) == np.abs(z).min()
  coefficient = float((error[smallest] / z[smallest] ** round(slope)).mean())
  return (float(slope), float(slope) - spread, float(slope) + spread), coefficient


def _plots(z: np.ndarray, loss: np.ndarray, errors: dict[str, np.ndarray]) -> list[Plot]:
  series = [Curve(name, z, loss - error) for name, error in errors.items()]
  up = z > 0
  sizes = [Curve(name, z[up], np.abs(error[up])) for name, error in errors.items()]
  sizes.append(Curve("z⁴/192", z[up], z[up] ** 4 / 192))
  return [
    Plot("The loss and its expansions", "margin z", "loss, nats", [Curve("dpo", z, loss), *series]),
    Plot("Their errors", "margin z > 0", "|error|, nats", sizes, log_x=True, log_y=True),
  ]
