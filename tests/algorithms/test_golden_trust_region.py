"""Trust regions, old data, distillation: numbers worked out by hand, each with its derivation.

A is +-0.5 where it is centered; l = (-3 + log 1.65 | -1.5 + log 0.5).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  asymre,
  dapo,
  dppo_kl,
  dppo_tv,
  fipo,
  m2po,
  on_policy_distillation,
  opmd,
  rec_one_side,
  rec_ring,
  topr,
)
from tests.algorithms.by_hand import GARBAGE, A, a, close, gradient, log, two_responses
from tests.algorithms.groups import arrays_of

first, second = -3 + log(1.65), -1.5 + log(0.5)
SWAPPED = A([[0.0, 1.0]])

GOLDEN = {
  # The ratio of the first is 1.65, but it is good; that of the second 0.5, and it is bad.
  "topr": (topr, {}, -(0.5 * first - 0.5 * 0.5 * second) / 2),
  # The first is now the bad one, with 1.65 -> 1; the good one's 0.5 weighs nothing.
  "topr_swapped": (topr, {"rewards": SWAPPED}, -(-0.5 * first + 0.5 * second) / 2),
  # A = 0.5 + 0.1, -0.5 + 0.1.
  "asymre": (asymre, {}, -(0.6 * first - 0.4 * second) / 2),
  "opmd": (
    opmd,
    {"tau": 0.2},
    -(0.5 * first - 0.5 * second - 0.1 * log(1.65) ** 2 - 0.1 * log(0.5) ** 2) / 2,
  ),
  # A = ref - old = -0.2, -0.3 | 0.5, whatever the rewards.
  "on_policy_distillation": (
    on_policy_distillation,
    {"ref_logps": A([[[-1.2, -2.3], [-1.0, GARBAGE]]])},
    -(1.1 * -0.2 + 1.5 * -0.3 + 0.5 * 0.5) / 3,
  ),
  # 1.5 is above 1.2 with A > 0, 0.5 below 0.8 with A < 0.
  "rec_one_side": (rec_one_side, {}, -0.5 * (-1 + log(1.1)) / 3),
  # Beyond on the wrong side, where the push leads back: all are kept.
  "rec_one_side_swapped": (rec_one_side, {"rewards": SWAPPED}, -(-0.5 * first + 0.5 * second) / 3),
  "rec_ring": (rec_ring, {}, -0.5 * (-1 + log(1.1)) / 3),
  # A < 0: 1.1 is near, 1.5 beyond 1.4; A > 0: 0.5 is neither near nor below 0.4.
  "rec_ring_swapped": (rec_ring, {"rewards": SWAPPED, "outer_high": 0.4}, 0.5 * first / 3),
  "rec_ring_back": (
    rec_ring,
    {"rewards": SWAPPED, "outer_low": 0.45},
    -(-0.5 * (-1 + log(1.1)) + 0.5 * second) / 3,
  ),
  # Probabilities e^-1, e^-2, e^-1.5 times 1.1, 1.5, 0.5: they change by 0.037, 0.068, 0.112.
  "dppo_tv": (dppo_tv, {"max_tokens": 10.0}, -0.5 * (1.1 + 1.5 - 0.5) / 20),
  "dppo_tv_of_a_tenth": (dppo_tv, {"max_tokens": 10.0, "delta": 0.1}, -0.5 * (1.1 + 1.5) / 20),
  "dppo_tv_of_a_twentieth": (dppo_tv, {"max_tokens": 10.0, "delta": 0.05}, -0.5 * 1.1 / 20),
  "dppo_tv_back": (
    dppo_tv,
    {"max_tokens": 10.0, "delta": 0.01, "rewards": SWAPPED},
    -0.5 * (-1.1 - 1.5 + 0.5) / 20,
  ),
  # Of p = 0.3679, 0.1353, 0.2231 and q = 0.4047, 0.2030, 0.1116: D = 0.0028, 0.0156, 0.0504.
  "dppo_kl": (dppo_kl, {"max_tokens": 10.0}, -0.5 * (1.1 + 1.5) / 20),
  "dppo_kl_wider": (dppo_kl, {"max_tokens": 10.0, "delta": 0.051}, -0.5 * (1.1 + 1.5 - 0.5) / 20),
  "dppo_kl_closer": (dppo_kl, {"max_tokens": 10.0, "delta": 0.015}, -0.5 * 1.1 / 20),
  # gamma = 1/2: F = log 1.1 + log 1.5 / 2, log 1.5 | log 0.5, so f = 1.347, 1.5 | 0.5, clipped;
  # the objective has ratios 1.1, 1.28 | 0.8.
  "fipo": (
    fipo,
    {"half_life": 1.0, "influence_low": 0.6, "influence_high": 0.4},
    -(1.1 * 1.1 * np.sqrt(1.5) + 1.28 * 1.4 - 0.8 * 0.5) / 3 * a,
  ),
  "fipo_by_default": (fipo, {}, -(1.2 * 1.1 + 1.2 * 1.28 - 0.8 * 0.8) / 3 * a),
  # A cap of 1.2: 1.5 has no influence, on itself neither, so f = 1.1, 1 | 0.5.
  "fipo_capped": (
    fipo,
    {"ratio_cap": 1.2, "influence_low": 0.6, "half_life": 1.0},
    -(1.1 * 1.1 + 1.28 - 0.8 * 0.5) / 3 * a,
  ),
  # The first is bad: f = 1.1, 1 | 0.5; its second token is at the cap.
  "fipo_capped_swapped": (
    fipo,
    {"ratio_cap": 1.2, "influence_low": 0.6, "half_life": 1.0, "rewards": SWAPPED},
    -(-1.1 * 1.1 - 1.2 + 0.5 * 0.5) / 3 * a,
  ),
  # Both of its tokens are beyond a cap of 1.05: it is left out, and its tokens do not count.
  "fipo_left_out": (
    fipo,
    {"ratio_cap": 1.05, "influence_low": 0.6, "rewards": SWAPPED},
    -0.5 * 0.5 * a,
  ),
  # (log rho)^2 = 0.0091, 0.1644, 0.4805: the means of the least 1, 2, 3 are 0.009, 0.087, 0.218.
  "m2po": (m2po, {}, -1.1 / 3 * a),
  "m2po_wider": (m2po, {"second_moment": 0.09}, -(1.1 + 1.5) / 3 * a),
  "m2po_widest": (m2po, {"second_moment": 0.22}, -(1.1 + 1.5 - 0.5) / 3 * a),
  # No token moves the way A asks, so none is in the trust region to be left out.
  "m2po_back": (m2po, {"rewards": SWAPPED}, -(-1.1 - 1.5 + 0.5) / 3 * a),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_value_by_hand(name):
  loss, inputs, wanted = GOLDEN[name]
  close(loss(**arrays_of(loss, two_responses() | inputs), **options_of(inputs))[0], wanted)


def options_of(inputs):
  return {name: x for name, x in inputs.items() if not hasattr(x, "shape")}


def test_a_bad_response_is_pushed_by_topr_as_by_a_ratio_and_no_further():
  arrays = two_responses()
  # w A / 2 on each token: the first 0.25, the second 0.5 * -0.25
  close(-gradient(topr, arrays), [[[0.25, 0.25], [-0.125, 0]]])
  close(topr(**arrays)[1]["topr/weight_mean"], 0.75)


def test_distillation_on_fresh_samples_descends_the_reverse_kl():
  """Over all three responses of one token, each weighed by its probability."""
  logits, teacher = A([0.3, -0.5, 1.0]), jax.nn.log_softmax(A([1.0, 0.2, -0.7]))

  def loss(x, y):
    logps = jax.nn.log_softmax(x)[y][None, None, None]
    old = jax.nn.log_softmax(logits)[y][None, None, None]
    mask = jnp.ones((1, 1, 1), bool)
    return on_policy_distillation(logps, old, teacher[y][None, None, None], mask)[0]

  def kl(x):
    return jax.nn.softmax(x) @ (jax.nn.log_softmax(x) - teacher)

  p = jax.nn.softmax(logits)
  close(sum(p[y] * loss(logits, y) for y in range(3)), kl(logits))
  close(sum(p[y] * jax.grad(loss)(logits, y) for y in range(3)), jax.grad(kl)(logits))


def test_opmd_has_the_gradient_of_direct_reward_optimization():
  """DRO's 1/2 (r - V - tau log pi/mu)^2, V the group's mean, is tau times opmd."""

  def dro(logps, old_logps, rewards, mask, tau):
    h = jnp.where(mask, logps - old_logps, 0.0).sum(axis=-1)
    return ((rewards - rewards.mean(axis=1, keepdims=True) - tau * h) ** 2).mean() / 2, {}

  arrays = two_responses()
  close(gradient(dro, arrays, tau=0.3), 0.3 * gradient(opmd, arrays, tau=0.3))


def test_without_a_shift_asymre_is_on_policy_reinforce_with_the_groups_mean():
  arrays = arrays_of(asymre, two_responses())
  close(-gradient(asymre, arrays, baseline_shift=0.0), [[[0.25, 0.25], [-0.25, 0]]])


def test_a_certain_token_has_a_finite_binary_kl():
  """p = 1: D = log(1/q); 0.0101 nats at q = 0.99."""
  arrays = two_responses(old_logps=jnp.zeros((1, 2, 2)))
  arrays["logps"] = A([[[0.0, 0.0], [np.log(0.99), 0.0]]])
  for delta, stopped in ((0.010, 1), (0.011, 0)):
    loss, metrics = dppo_kl(**arrays, delta=delta)
    assert np.isfinite(loss)
    close(metrics["clip_ratio/region_mean"], stopped / 3)


def test_on_the_first_step_fipo_is_dapo():
  arrays = two_responses()
  arrays["old_logps"] = arrays["logps"]
  close(gradient(fipo, arrays), gradient(dapo, arrays))
  assert fipo(**arrays)[1]["fipo/influence"] == 1


def test_equal_tokens_leave_m2po_together():
  # Three tokens of T with the same square s = log(1.5)^2 = 0.164: a mean of 0.1 has room for none.
  arrays = two_responses()
  arrays["logps"] = arrays["old_logps"] + A([[[log(1.5), log(1.5)], [-log(1.5), 0.0]]])
  loss, metrics = m2po(**arrays, second_moment=0.1)
  assert loss == 0
  close(metrics["clip_ratio/region_mean"], 1.0)
  close(metrics["m2po/second_moment"], log(1.5) ** 2)
