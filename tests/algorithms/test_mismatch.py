"""Corrections for the sampler: the weights by hand, the gradient that they give, the metrics."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES, mismatch
from algorithms.mismatch import PARTS, Correction, mismatch_metrics, reweighed
from tests.algorithms.groups import arrays_of, random_groups

GARBAGE = jnp.nan  # at padding
# One prompt, two responses: ratios (2, 1/4, 3) and (1/2, 1e-5); the last token of the second is
# padding. Of the whole responses: 1.5 and 5e-6; a token's geometric mean: 1.5^(1/3), (5e-6)^(1/2).
RATIO = np.array([[[2.0, 0.25, 3.0], [0.5, 1e-5, 1.0]]])
MASK = jnp.array([[[True, True, True], [True, True, False]]])
SAMPLER = jnp.where(MASK, -1.0, GARBAGE)
LOGPS = jnp.where(MASK, SAMPLER + np.log(RATIO), GARBAGE)

BY_HAND = {
  "truncate(token, 2)": ("truncate", {"level": "token", "cap": 2.0}, [[2, 0.25, 2], [0.5, 1e-5]]),
  "truncate(sequence, 1.2)": (
    "truncate",
    {"level": "sequence", "cap": 1.2},
    [[1.2, 1.2, 1.2], [5e-6, 5e-6]],
  ),
  "truncate(sequence, 3)": (
    "truncate",
    {"level": "sequence", "cap": 3.0},
    [[1.5, 1.5, 1.5], [5e-6, 5e-6]],
  ),
  "mask(token, 0.5, 2.5)": (
    "mask",
    {"level": "token", "low": 0.49, "high": 2.5},
    [[1, 0, 0], [1, 0]],
  ),
  "mask(sequence, 0, 3)": (
    "mask",
    {"level": "sequence", "low": 0.0, "high": 3.0},
    [[1, 1, 1], [1, 1]],
  ),
  "mask(sequence, 0.5, 1.4)": (
    "mask",
    {"level": "sequence", "low": 0.5, "high": 1.4},
    [[0, 0, 0], [0, 0]],
  ),
  # 1.5^(1/3) = 1.1447
  "mask(geometric, 0.9, 1.145)": (
    "mask",
    {"level": "geometric", "low": 0.9, "high": 1.145},
    [[1, 1, 1], [0, 0]],
  ),
  "mask(geometric, 0.9, 1.144)": (
    "mask",
    {"level": "geometric", "low": 0.9, "high": 1.144},
    [[0, 0, 0], [0, 0]],
  ),
  "veto(1e-4)": ("veto", {"threshold": 1e-4}, [[1, 1, 1], [0, 0]]),
  "veto(1e-6)": ("veto", {"threshold": 1e-6}, [[1, 1, 1], [1, 1]]),
}


def padded(rows):
  return np.array([[rows[0], [*rows[1], 1]]], np.float32)


@pytest.mark.parametrize(("part", "options", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_the_weights_are_those_worked_out_by_hand(part, options, expected):
  weights = PARTS[part](LOGPS, SAMPLER, MASK, **options)
  np.testing.assert_allclose(weights, padded(expected), rtol=1e-5)


def test_the_modules_example():
  failed, tried = doctest.testmod(mismatch)
  assert tried == 2 and failed == 0


def test_a_veto_looks_below_the_smallest_ratio_that_others_tell_apart():
  """Other ratios are cut at e^-20; a threshold may be lower."""
  far = LOGPS.at[0, 0, 0].set(-1.0 - 30.0)
  vetoed = PARTS["veto"](far, SAMPLER, MASK, threshold=jnp.exp(-25.0))
  assert vetoed[0, 0].tolist() == [0, 0, 0] and vetoed[0, 1].tolist() == [1, 1, 1]


def test_a_correction_is_the_product_of_its_parts():
  correction = Correction("sampler", (("truncate", (("level", "token"),)), ("veto", ())))
  numbers = ({"cap": 2.0}, {"threshold": 1e-4})
  weights = correction.weights(LOGPS, SAMPLER, MASK, numbers)
  np.testing.assert_allclose(weights, padded([[2, 0.25, 2], [0, 0]]), rtol=1e-6)


def test_icepop_is_a_ratio_that_is_masked_on_both_sides():
  """M(r) = r for alpha <= r <= beta, else 0: a truncation at beta cuts nothing that is kept."""
  parts = (("truncate", (("level", "token"),)), ("mask", (("level", "token"),)))
  numbers = ({"cap": 2.5}, {"low": 0.4, "high": 2.5})
  weights = Correction("sampler", parts).weights(LOGPS, SAMPLER, MASK, numbers)
  np.testing.assert_allclose(weights, padded([[2, 0, 0], [0.5, 0]]), rtol=1e-6)


# --- the gradient -------------------------------------------------------------------------------


def test_reweighed_keeps_every_bit_of_the_log_probs():
  logps = jnp.asarray(np.random.default_rng(0).normal(-2, 3, MASK.shape), jnp.float32)
  weights = jnp.full(MASK.shape, 0.3)
  np.testing.assert_array_equal(jax.jit(reweighed)(logps, weights, MASK), logps)


CORRECTION = (("truncate", (("level", "token"),)), ("mask", (("level", "geometric"),)))
NUMBERS = ({"cap": 1.3}, {"low": 0.8, "high": 1.1})


def loss_as_given(loss, arrays, logps):
  return loss(**arrays_of(loss, arrays | {"logps": logps}))[0]


@pytest.mark.parametrize("anchor", ["recomputed", "sampler"])
@pytest.mark.parametrize("name", ["grpo", "dpo", "reinforce", "cispo"])
def test_the_gradient_is_the_weights_times_that_of_the_loss(name, anchor):
  """Of a loss by finite differences, whose weights stay those of the policy where it stands."""
  loss = LOSSES[name]
  with jax.enable_x64(True):
    arrays = random_groups(dtype=jnp.float64)
    logps, mask = arrays["logps"], arrays["mask"]
    trainer = arrays["old_logps"] if anchor == "recomputed" else logps
    policies = arrays["old_logps"], arrays["sampler_logps"], mask
    correction = Correction(anchor, CORRECTION)
    weights = correction.weights(trainer, arrays["sampler_logps"], mask, NUMBERS)
    assert 0 < (weights[mask] == 0).sum() < mask.sum() and (weights[mask] > 1).any()

    def corrected(x):
      return loss_as_given(loss, arrays, correction(x, *policies, NUMBERS)[0])

    value, slope = jax.value_and_grad(corrected)(logps)
    assert value == loss_as_given(loss, arrays, logps)
    plain = jax.grad(lambda x: loss_as_given(loss, arrays, x))(logps)
    np.testing.assert_allclose(slope, jnp.where(mask, weights, 1.0) * plain, rtol=1e-12)
    if name == "cispo":  # cuts its own ratio off from the gradient: no differences of its value
      return
    rng = np.random.default_rng(1)
    for _ in range(4):  # along a direction of the log-probs, each token at its weight
      step = jnp.asarray(rng.normal(size=logps.shape)) * mask * 1e-6
      moved = [loss_as_given(loss, arrays, logps + s * weights * step) for s in (1, -1)]
      np.testing.assert_allclose((moved[0] - moved[1]) / 2, (slope * step).sum(), rtol=1e-5)


def test_no_gradient_flows_through_the_weight_or_from_padding():
  correction = Correction("sampler", (("truncate", (("level", "sequence"),)),))

  def total(x):
    logps, _ = correction(x, x, SAMPLER, MASK, ({"cap": 9.0},))
    return jnp.where(MASK, logps, 0.0).sum()

  slope = jax.grad(total)(LOGPS)
  np.testing.assert_allclose(slope, [[[1.5, 1.5, 1.5], [5e-6, 5e-6, 0]]], rtol=1e-4)


# --- the metrics --------------------------------------------------------------------------------


def test_the_metrics_by_hand():
  weights = jnp.array([[[2.0, 1.0, 1.0], [0.0, 0.0, 1.0]]])
  found = mismatch_metrics(LOGPS, SAMPLER, weights, MASK)
  logs = np.log([2, 0.25, 3, 0.5, 1e-5])
  expected = {
    "sampling/sampling_logp_difference/mean": np.abs(logs).mean(),
    "sampling/sampling_logp_difference/max": -np.log(1e-5),
    "sampling/kl_k1": -logs.mean(),
    "sampling/kl_k3": (np.exp(logs) - 1 - logs).mean(),
    "sampling/effective_sample_size": 4**2 / (5 * 6),
    "sampling/masked/tokens": 2 / 5,
    "sampling/masked/responses": 1 / 2,
  }
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_a_batch_without_tokens_or_without_weights_has_finite_metrics():
  nothing = mismatch_metrics(LOGPS, SAMPLER, jnp.zeros(MASK.shape), MASK)
  assert nothing["sampling/effective_sample_size"] == 0
  assert nothing["sampling/masked/tokens"] == nothing["sampling/masked/responses"] == 1
  empty = mismatch_metrics(LOGPS, SAMPLER, jnp.ones(MASK.shape), jnp.zeros_like(MASK))
  assert np.isfinite([*empty.values()]).all()
