"""The preference losses: which responses count, and where one of them turns into another."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES
from tests.algorithms.groups import call, evaluate

A = jnp.array
DIFFERENCE_BASED = ("dpo", "robust_dpo", "ipo", "hinge", "sigmoid_norm", "exo_pair", "discopop")
ONE_TERM_EACH = ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")
WITH_PAIR_RULE = (
  *DIFFERENCE_BASED,
  *ONE_TERM_EACH,
  *("ld_dpo", "wpo", "simpo", "orpo", "bradley_terry", "probit_dpo", "thurstone"),
)
OF_COMPARISONS = (*WITH_PAIR_RULE, "aot", "aot_unpaired", "plackett_luce_dpo")
ALL = (*OF_COMPARISONS, "kto", "sft")


def random_pairs(b=4, k=2, t=6, seed=0):
  """Ragged responses, whose rewards fall from K - 1 to 0."""
  rng = np.random.default_rng(seed)
  draw = {name: -rng.exponential(1.0, (b, k, t)) for name in ("logps", "log_sum_sq_probs")}
  draw["ref_logps"] = draw["logps"] + rng.normal(size=(b, k, t))
  draw["scores"] = rng.normal(size=(b, k))
  draw["rewards"] = np.broadcast_to(np.arange(k)[::-1], (b, k))
  arrays = {name: A(x, jnp.float32) for name, x in draw.items()}
  return arrays | {"mask": A(np.arange(t) < rng.integers(1, t + 1, (b, k, 1)))}


def one_token(logps, ref_logps):
  """Pairs of responses of one token each, the first the better."""
  logps, ref_logps = A(logps)[..., None], A(ref_logps)[..., None]
  rewards, mask = jnp.tile(A([[1.0, 0.0]]), (logps.shape[0], 1)), jnp.ones(logps.shape, bool)
  return {"logps": logps, "ref_logps": ref_logps, "rewards": rewards, "mask": mask}


def of(arrays, responses):
  """The same groups with these responses only, in this order."""
  return {name: A(np.asarray(x)[:, responses]) for name, x in arrays.items()}


def joined(first, second):
  return {name: A(np.concatenate([first[name], second[name]])) for name in first}


def loss_and_gradient(name, arrays, **options):
  loss, _, slope = evaluate(LOSSES[name], arrays, options)
  return loss, slope


# Compiled, as it is called many times. NaN and padding are tested eagerly: XLA may hide them.
compiled = functools.partial(jax.jit, static_argnums=0)(loss_and_gradient)


@pytest.mark.parametrize("name", OF_COMPARISONS)
def test_ties_do_not_count_and_ties_alone_give_nothing(name):
  arrays, tied = random_pairs(b=2, seed=1), random_pairs(b=2, seed=2)
  tied["rewards"] = jnp.ones_like(tied["rewards"])
  twice, slope = compiled(name, joined(arrays, arrays))
  once, slope_with_ties = compiled(name, joined(tied, arrays))
  np.testing.assert_allclose(once, twice, rtol=1e-6)
  np.testing.assert_allclose(slope_with_ties[2:], 2 * slope[2:], rtol=1e-5, atol=1e-8)
  assert (slope_with_ties[:2] == 0).all()
  loss, slope = compiled(name, joined(tied, tied))
  assert loss == 0
  assert (slope == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_a_response_without_score_or_without_tokens_is_absent(name):
  arrays = random_pairs(k=3)
  first = np.arange(3) == 0
  unscored = arrays | {"rewards": A(np.where(first, np.nan, arrays["rewards"]), jnp.float32)}
  empty = arrays | {"mask": A(np.asarray(arrays["mask"]) & ~first[:, None])}
  wanted, wanted_slope = compiled(name, of(arrays, [1, 2]))
  for absent in (unscored, empty):
    loss, slope = loss_and_gradient(name, absent)
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    np.testing.assert_allclose(slope[:, 1:], wanted_slope, rtol=1e-5, atol=1e-8)
    assert (slope[:, 0] == 0).all()


@pytest.mark.parametrize("name", WITH_PAIR_RULE)
def test_a_larger_group_is_its_pairs(name):
  """Each pair has a shared length (ld_dpo), a weight (wpo) and a margin of scores of its own."""
  arrays = random_pairs(k=3)
  loss = LOSSES[name]
  two_by_two = [compiled(name, of(arrays, pair))[0] for pair in ([0, 1], [0, 2], [1, 2])]
  np.testing.assert_allclose(call(loss, arrays)[0], two_by_two[1], rtol=1e-5)
  np.testing.assert_allclose(call(loss, arrays, pairs="all")[0], np.mean(two_by_two), rtol=1e-5)


def test_those_with_a_pair_rule_are_the_ones_tested_for_it():
  with_rule = {n for n, loss in LOSSES.items() if "pairs" in inspect.signature(loss).parameters}
  assert with_rule == set(WITH_PAIR_RULE)


# --- each at the edge of another ------------------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("plackett_luce_dpo", {}),
    ("robust_dpo", {"label_smoothing": 0.0}),
    ("ld_dpo", {"ld_alpha": 1.0}),
  ],
)
def test_it_is_dpo_in_value_and_gradient(name, options):
  loss, slope = loss_and_gradient(name, random_pairs(), beta=0.3, **options)
  dpo_loss, dpo_slope = loss_and_gradient("dpo", random_pairs(), beta=0.3)
  np.testing.assert_allclose(loss, dpo_loss, rtol=1e-6)
  np.testing.assert_allclose(slope, dpo_slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", DIFFERENCE_BASED)
def test_the_alpha_divergence_with_alpha_one_is_reverse_kl(name):
  loss, slope = loss_and_gradient(name, random_pairs(), divergence="alpha", alpha=1.0)
  reverse_kl, reverse_slope = loss_and_gradient(name, random_pairs())
  np.testing.assert_allclose(loss, reverse_kl, rtol=1e-6)
  np.testing.assert_allclose(slope, reverse_slope, rtol=1e-5, atol=1e-8)
  other = call(LOSSES[name], random_pairs(), divergence="alpha", alpha=2.0)[0]
  assert abs(other - reverse_kl) > 1e-3


def test_robust_dpo_is_dpo_in_the_mean_over_flipped_labels():
  arrays = random_pairs()
  flipped = arrays | {"rewards": 1 - arrays["rewards"]}
  given = call(LOSSES["robust_dpo"], arrays, label_smoothing=0.2)[0]
  other = call(LOSSES["robust_dpo"], flipped, label_smoothing=0.2)[0]
  clean = call(LOSSES["dpo"], arrays)[0]
  np.testing.assert_allclose(0.8 * given + 0.2 * other, clean, rtol=1e-5)


def test_exo_is_zero_where_the_policy_prefers_as_the_labels_do():
  # beta h = (log 9, 0): the policy prefers the better with 0.9
  arrays = one_token([[-1.0, -1.0]], [[-1.0 - np.log(9.0), -1.0]])
  loss, slope = loss_and_gradient("exo_pair", arrays, beta=1.0, label_smoothing=0.1)
  np.testing.assert_allclose(loss, 0, atol=1e-6)
  np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_wpo_weighs_the_gradient_of_dpo_and_its_weights_have_none():
  arrays = random_pairs(b=1)
  loss, slope = loss_and_gradient("wpo", arrays)
  dpo_loss, dpo_slope = loss_and_gradient("dpo", arrays)
  assert abs(loss / dpo_loss - 1) > 0.01
  np.testing.assert_allclose(slope, loss / dpo_loss * dpo_slope, rtol=1e-5, atol=1e-8)
  assert (evaluate(LOSSES["wpo"], arrays, {}, "log_sum_sq_probs")[2] == 0).all()


# --- where float32 ends ---------------------------------------------------------------------------


def test_discopop_is_logistic_far_on_the_wrong_side():
  # z = -1000: sigmoid(z / tau) e^-z is 0 * inf, though its limit is 0
  loss, slope = loss_and_gradient("discopop", one_token([[-1e4, 0.0]], [[0.0, 0.0]]), beta=0.1)
  np.testing.assert_allclose(loss, 1000, rtol=1e-6)
  np.testing.assert_allclose(slope[0, :, 0], [-0.1, 0.1])


@pytest.mark.parametrize("logps", [[0.0, -1e4], [-1e4, 0.0], [0.0, 0.0], [-1e-8, -1.0]])
def test_orpo_of_a_certain_policy_is_finite(logps):
  loss, slope = loss_and_gradient("orpo", one_token([logps], [[0.0, 0.0]]))
  assert jnp.isfinite(loss)
  assert jnp.isfinite(slope).all()


@pytest.mark.parametrize(
  ("name", "options"), [("ipo", {"length_average": False}), ("sppo_hard", {})]
)
def test_squares_of_long_log_ratios_are_finite(name, options):
  arrays = one_token([[-1e4, 0.0]], [[0.0, -1e4]])
  arrays = {key: jnp.tile(x, (1, 1, 1000)) if x.ndim == 3 else x for key, x in arrays.items()}
  loss, slope = loss_and_gradient(name, arrays, **options)
  assert jnp.isfinite(loss)
  assert jnp.isfinite(slope).all()
  assert abs(slope).max() > 1e6
