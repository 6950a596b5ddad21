"""-log Phi and its derivatives, also where float32 has few digits left; and the losses of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import dpo, probit_dpo, thurstone
from algorithms.probit import log_phi
from tests.algorithms.groups import evaluate, random_groups

A = jnp.array

# z, log Phi(z), its slope and its second derivative, by mpmath with 60 digits, rounded.
TABLE = [
  (-1000.0, -500007.82669481218, 1000.000999998, -0.99999900000599995),
  (-30.0, -454.3212439563432, 30.033259667433677, -0.99889622848810991),
  (-4.5, -12.592419735713079, 4.7043198448277324, -0.96118590071522447),
  (-4.0, -10.360101486527291, 4.2256071444894711, -0.95332716160257737),
  (-3.5, -8.3660653083440929, 3.7513912648576997, -0.9430669950487032),
  (-2.0, -3.7831843336820319, 2.3732155328228409, -0.88572089958591874),
  (-1.0, -1.8410216450092635, 1.5251352761609812, -0.80090233442965121),
  (0.0, -0.69314718055994531, 0.79788456080286536, -0.63661977236758134),
  (3.0, -0.0013508099647481938, 0.0044378390421256638, -0.013333211541740806),
  (9.0, -1.1285884059538406e-19, 1.0279773571668915e-18, -9.2517962145020233e-18),
]


@pytest.mark.parametrize(("z", "value", "slope", "second"), TABLE)
def test_value_and_derivatives_in_both_tails(z, value, slope, second):
  for x64, rtol in ((False, 5e-6), (True, 1e-10)):
    with jax.enable_x64(x64):
      x = A(z)
      atol = 1e-30 if x64 else 3e-8  # float32 has no more digits of a probability near 1
      np.testing.assert_allclose(log_phi(x), value, rtol=rtol, atol=atol)
      np.testing.assert_allclose(jax.grad(log_phi)(x), slope, rtol=rtol)
      np.testing.assert_allclose(jax.grad(jax.grad(log_phi))(x), second, rtol=3 * rtol)


def test_far_out_it_is_a_parabola_and_nothing():
  slopes = jax.vmap(jax.grad(log_phi))(A([-1e6, -1e4, 30.0, 1e6]))
  np.testing.assert_allclose(slopes, [1e6, 1e4, 0, 0], rtol=1e-6)
  seconds = jax.vmap(jax.grad(jax.grad(log_phi)))(A([-1e6, -1e4, 30.0, 1e6]))
  np.testing.assert_allclose(seconds, [-1, -1, 0, 0], rtol=1e-6)


def test_the_slope_is_continuous_where_the_series_takes_over():
  with jax.enable_x64(True):
    left, right = jax.vmap(jax.grad(log_phi))(A([-2 - 1e-9, -2 + 1e-9]))
    np.testing.assert_allclose(left, right, rtol=1e-8)


def pair(margin):
  """z = beta * margin; the better response is the first."""
  zeros = jnp.zeros((1, 2, 1))
  return {
    "logps": A([[[margin], [0.0]]]),
    "ref_logps": zeros,
    "rewards": A([[1.0, 0.0]]),
    "mask": jnp.ones((1, 2, 1), bool),
  }


def test_probit_dpo_is_minus_log_phi_of_the_margin():
  phi = 0.5 * (1 + math.erf(0.1 * 5 / math.sqrt(2)))
  np.testing.assert_allclose(probit_dpo(**pair(5.0), beta=0.1)[0], -math.log(phi), rtol=1e-6)


def test_at_the_reference_it_pulls_as_dpo_does_and_harder():
  arrays = random_groups()
  arrays["ref_logps"] = arrays["logps"]
  given, wanted = (evaluate(loss, arrays, {"beta": 0.1})[2] for loss in (probit_dpo, dpo))
  np.testing.assert_allclose(given, 2 * math.sqrt(2 / math.pi) * wanted, rtol=1e-5)


def test_a_pair_far_wrong_pulls_in_proportion_while_dpos_pull_has_an_end():
  push = {
    loss: -np.array([evaluate(loss, pair(m), {"beta": 1.0})[2][0, 0, 0] for m in (-10.0, -20.0)])
    for loss in (probit_dpo, dpo)
  }
  np.testing.assert_allclose(push[dpo], 1, rtol=1e-4)
  np.testing.assert_allclose(push[probit_dpo], [10.1, 20.05], rtol=1e-3)


def test_thurstone():
  # margins 1 and (-) in two groups, of which the second is a tie: -log Phi(1)
  scores, rewards = A([[2.0, 1.0], [0.0, 5.0]]), A([[1.0, 0.0], [1.0, 1.0]])
  loss, metrics = thurstone(scores, rewards, jnp.ones((2, 2, 1), bool))
  np.testing.assert_allclose(loss, -math.log(0.8413447460685429), rtol=1e-6)
  assert metrics["accuracy"] == 1 and metrics["margin"] == 1
