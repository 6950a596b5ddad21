"""Regression on rewards, groups as classes, large covariances: numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import a_star_po, amir_grpo, clip_cov, dpo, gvpo, kl_cov, opmd, real, rebel
from algorithms.regression import optimal_values
from tests.algorithms.by_hand import A, a, close, gradient, log, two_responses
from tests.algorithms.groups import arrays_of, call, evaluate, random_groups

h = log(1.65) - log(0.5)  # h_1 - h_2

# A = +-a, its token mean a / 3; log-probs -0.9047, -1.5945, -2.1931, mean -1.5641. So
# Cov = 2a/3 * 0.6594, 2a/3 * -0.0304, -4a/3 * -0.6290 = 0.4395, -0.0203, 0.8386.
# A*-PO: of (1, 0), V* = 0.5 log((e^2 + 1) / 2) = 0.7169; h is log 1.65 and log 0.5.
V = 0.5 * log((np.exp(2) + 1) / 2)
GOLDEN = {
  "rebel": (rebel, {"eta": 2.0}, (h / 2 - 1) ** 2),
  "gvpo": (gvpo, {"beta": 0.1}, (0.1 * h / 2 - 0.5) ** 2 / 2),
  "a_star_po": (
    a_star_po,
    {"beta2": 0.3},
    ((0.3 * log(1.65) - (1 - V)) ** 2 + (0.3 * log(0.5) + V) ** 2) / 2,
  ),
  # s = log(1.65) / 2 and log(0.5), over tau = 1/2: e^-s = 1 / 1.65, e^s = 0.25.
  "real": (real, {}, log(1 + 1 / 1.65) + log(1.25)),
  # grpo: ratios 1.1, 1.2 and 0.8; dpo: z = 0.5 h.
  "amir_grpo": (
    amir_grpo,
    {"pair_weight": 0.3, "pair_beta": 0.5},
    -(1.15 - 0.8) / 2 * a + 0.3 * np.log1p(np.exp(-h / 2)),
  ),
  # The third is above 0.3 too, but the clip stops it: the first is the only candidate.
  "clip_cov": (clip_cov, {"cov_low": 0.3}, -(1.2 - 0.8) / 3 * a),
  # One of two is dropped.
  "clip_cov_of_two": (
    clip_cov,
    {"cov_low": 0.3, "clip_low": 0.6},
    -(1.1 / 2 + 1.2 - 0.5 / 2) / 3 * a,
  ),
  "clip_cov_of_none": (clip_cov, {}, -(1.1 + 1.2 - 0.8) / 3 * a),
  "kl_cov": (kl_cov, {}, -(1.1 + 1.5 - 0.5) / 3 * a + log(2) / 3),
  # 0.7 of three tokens are two.
  "kl_cov_of_two": (
    kl_cov,
    {"share": 0.7, "kl_weight": 0.1},
    -(1.1 + 1.5 - 0.5) / 3 * a + 0.1 * (log(2) + log(1.1)) / 3,
  ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_value_by_hand(name):
  loss, options, wanted = GOLDEN[name]
  arrays = two_responses(ref_logps=two_responses()["old_logps"])
  arrays["reference_rewards"] = A([[1.0, 0.0, jnp.nan]])
  close(loss(**arrays_of(loss, arrays), **options)[0], wanted)


def test_rebel_is_gvpo_with_another_policy_behind_it():
  arrays = random_groups(k=5)
  arrays["ref_logps"] = arrays["old_logps"]
  close(call(rebel, arrays, eta=4.0)[0], 4 * 5 / 4 * call(gvpo, arrays, beta=0.25)[0])


def test_at_the_reference_gvpo_is_reinforce_with_the_groups_mean_as_opmd_is():
  arrays = random_groups()
  arrays |= {"ref_logps": arrays["logps"], "old_logps": arrays["logps"]}
  given, wanted = evaluate(gvpo, arrays, {"beta": 0.3})[2], evaluate(opmd, arrays, {})[2]
  close(given, 0.3 * wanted)


def test_the_minimum_of_gvpo_is_the_optimum_of_the_reward_less_the_kl():
  """pi* ~ pi_ref e^(r / beta): there the loss is 0, whatever the partition function."""
  ref = np.log([0.5, 0.3, 0.2])
  best = ref + np.array([1.0, 0.0, 2.0]) / 0.7
  best -= np.log(np.exp(best).sum())
  arrays = {
    "logps": A(best)[None, :, None],
    "ref_logps": A(ref)[None, :, None],
    "rewards": A([[1.0, 0.0, 2.0]]),
    "mask": jnp.ones((1, 3, 1), bool),
  }
  close(gvpo(**arrays, beta=0.7)[0], 0)
  close(gradient(gvpo, arrays, beta=0.7), jnp.zeros((1, 3, 1)))


def test_the_minimum_of_a_star_po_is_that_of_gvpo_too():
  """Where beta1 = beta2 and the reference's rewards come as often as they are likely."""
  ref, rewards = np.log([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0])
  best = ref + rewards / 0.7
  best -= np.log(np.exp(best).sum())
  arrays = {
    "logps": A(best)[None, :, None],
    "ref_logps": A(ref)[None, :, None],
    "rewards": A(rewards)[None],
    "reference_rewards": A(np.repeat(rewards, (5, 3, 2)))[None],
    "mask": jnp.ones((1, 3, 1), bool),
  }
  close(a_star_po(**arrays, beta1=0.7, beta2=0.7)[0], 0)
  close(gradient(a_star_po, arrays, beta1=0.7, beta2=0.7), jnp.zeros((1, 3, 1)))


def test_v_star_lies_between_the_mean_and_the_best():
  rewards = A([[1.0, 0.0, 0.0, jnp.nan], [jnp.nan] * 4, [0.5, 0.5, 0.5, 0.5]])
  close(optimal_values(rewards, 1e3)[0], 1 / 3 + 1e-3 / 9)  # and half their variance over beta
  close(optimal_values(rewards, 1e-3)[0], 1 - 1e-3 * log(3))
  assert jnp.isnan(optimal_values(rewards, 0.5)[1])
  close(optimal_values(rewards, 0.5)[2], 0.5)


def test_a_prompt_without_v_star_teaches_a_star_po_nothing():
  arrays = two_responses(ref_logps=two_responses()["old_logps"])
  arrays = arrays_of(a_star_po, arrays | {"reference_rewards": A([[jnp.nan, jnp.nan]])})
  assert a_star_po(**arrays)[0] == 0
  assert (gradient(a_star_po, arrays) == 0).all()


def test_equal_rewards_are_regressed_too():
  """Two equally good responses should have become likelier by the same factor."""
  arrays = arrays_of(rebel, two_responses(rewards=A([[1.0, 1.0]])))
  close(rebel(**arrays)[0], h**2)


def test_no_response_pulls_real_harder_than_one_over_tau():
  for distance in (0.3, 30.0):
    arrays = random_groups(distance=distance)
    slope = evaluate(real, arrays, {"tau": 0.25})[2] * arrays["mask"].sum(-1, keepdims=True) * 4
    assert jnp.abs(slope).max() <= 4 and jnp.abs(slope).max() > 1


def test_real_looks_at_groups_of_two_classes_only():
  arrays = arrays_of(real, two_responses())
  with_a_tie = {name: jnp.concatenate([x, x]) for name, x in arrays.items()}
  with_a_tie["rewards"] = A([[1.0, 0.0], [0.0, 0.0]])
  close(real(**with_a_tie)[0], real(**arrays)[0] / 2)
  assert (gradient(real, with_a_tie)[1] == 0).all()


def test_the_second_term_of_amir_grpo_is_dpo_on_all_pairs():
  arrays = random_groups()
  with_pairs, without = (evaluate(amir_grpo, arrays, {"pair_weight": w})[2] for w in (0.5, 0.0))
  wanted = evaluate(dpo, arrays, {"beta": 0.2, "pairs": "all"})[2]
  close(with_pairs - without, 0.5 * wanted)


def test_metrics_of_the_covariance():
  close(clip_cov(**two_responses(), cov_low=0.3, clip_low=0.6)[1]["clip_cov/candidates"], 2 / 3)
  close(kl_cov(**two_responses(), share=0.7)[1]["kl_cov/held"], 2 / 3)
