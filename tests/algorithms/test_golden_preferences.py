"""The preference losses: numbers worked out by hand, each with its derivation."""

import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES
from tests.algorithms.groups import call, evaluate

A = jnp.array
HERE = """
  dpo dpo_weighted anchored kto optimal_transport reference_free plackett_luce
""".split()


def one_pair():
  """Lengths 2 and 3, so that a sum is not a mean; the padded token holds garbage.

  l_w = -1 - 1 = -2,          h_w = 0.5 + 0.3 = 0.8,        l_w / n = -1,    h_w / n = 0.4
  l_l = -2 - 1 - 1.5 = -4.5,  h_l = -0.5 + 0 - 0.1 = -0.6,  l_l / n = -1.5,  h_l / n = -0.2
  """
  return {
    "logps": A([[[-1.0, -1.0, 9.0], [-2.0, -1.0, -1.5]]]),
    "ref_logps": A([[[-1.5, -1.3, -9.0], [-1.5, -1.0, -1.4]]]),
    "log_sum_sq_probs": A([[[-1.1, -1.1, 9.0], [-1.4, -0.4, -0.9]]]),
    "scores": A([[2.0, 0.5]]),
    "rewards": A([[1.0, 0.0]]),
    "mask": A([[[True, True, False], [True, True, True]]]),
  }


def one_token(logps, ref_logps, rewards):
  """Responses of one token each: h = logps - ref_logps."""
  logps, ref_logps = A(logps)[..., None], A(ref_logps)[..., None]
  mask = jnp.ones(logps.shape, bool)
  return {"logps": logps, "ref_logps": ref_logps, "rewards": A(rewards), "mask": mask}


def joined(first, second):
  return {name: jnp.concatenate([first[name], second[name]]) for name in first}


def gradient(name, arrays, **options):
  in_what = "scores" if name == "bradley_terry" else "logps"
  return evaluate(LOSSES[name], arrays, options, in_what)[2]


def softplus(x):
  """-log sigmoid(-x)."""
  return np.log1p(np.exp(x))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


P = sigmoid(0.7)
GOLDEN = (
  # beta = 0.5: z = 0.5 (0.8 + 0.6) = 0.7
  ("dpo", {"beta": 0.5}, softplus(-0.7)),
  ("aot", {"beta": 0.5}, softplus(-0.7)),
  ("aot", {"beta": 0.5, "label_smoothing": 0.2}, 0.8 * softplus(-0.7) + 0.2 * softplus(0.7)),
  ("aot_unpaired", {"beta": 0.5}, softplus(-0.7)),
  ("plackett_luce_dpo", {"beta": 0.5}, softplus(-0.7)),
  (
    "robust_dpo",
    {"beta": 0.5, "label_smoothing": 0.2},
    (0.8 * softplus(-0.7) - 0.2 * softplus(0.7)) / 0.6,
  ),
  # 1 / (2 beta) = 2: averages 0.4 + 0.2, sums 0.8 + 0.6
  ("ipo", {"beta": 0.25}, (0.6 - 2) ** 2),
  ("ipo", {"beta": 0.25, "length_average": False}, (1.4 - 2) ** 2),
  ("hinge", {"beta": 0.5}, 1 - 0.7),
  ("hinge", {"beta": 1.0}, 0.0),  # z = 1.4 > 1
  # f'(e^h) = 1 - e^-h: margin (1 - e^-0.8) - (1 - e^0.6)
  ("hinge", {"beta": 0.5, "divergence": "forward_kl"}, 1 - 0.5 * (np.exp(0.6) - np.exp(-0.8))),
  ("sigmoid_norm", {"beta": 0.5}, softplus(-0.5 * 0.6)),
  # KL of (P, 1 - P), P = sigmoid(0.7), to (0.9, 0.1)
  (
    "exo_pair",
    {"beta": 0.5, "label_smoothing": 0.1},
    P * np.log(P / 0.9) + (1 - P) * np.log((1 - P) / 0.1),
  ),
  # z / tau = 1
  (
    "discopop",
    {"beta": 0.5, "tau": 0.7},
    sigmoid(-1.0) * softplus(-0.7) + sigmoid(1.0) * np.exp(-0.7),
  ),
  # the worse one's third token is beyond the shared length 2: h_l = -0.5 - 0.1 a
  ("ld_dpo", {"beta": 0.5, "ld_alpha": 0.5}, softplus(-0.5 * (0.8 + 0.55))),
  ("ld_dpo", {"beta": 0.5, "ld_alpha": 0.0}, softplus(-0.5 * (0.8 + 0.5))),
  # log v_w = mean(-1 + 1.1, -1 + 1.1) = 0.1, log v_l = mean(-0.6, -0.6, -0.6)
  ("wpo", {"beta": 0.5}, np.exp(0.1 - 0.6) * softplus(-0.7)),
  # r_w = 0.5 * 0.8 = 0.4, r_l = 0.5 * -0.6 = -0.3
  ("nca_pair", {"beta": 0.5}, softplus(-0.4) + softplus(0.4) / 2 + softplus(-0.3) / 2),
  ("bco_pair", {"beta": 0.5}, softplus(-0.4) + softplus(-0.3)),
  ("sppo_hard", {"beta": 0.25}, (0.8 - 2) ** 2 + (-0.6 + 2) ** 2),  # 1 / (2 beta) = 2
  ("apo_zero", {"beta": 0.5}, sigmoid(-0.4) + sigmoid(-0.3)),
  ("apo_down", {"beta": 0.5}, sigmoid(0.4) + sigmoid(-0.7)),
  # z0 = 0.5 (0.8 - 0.6) / 2 = 0.05: 1 - sigmoid(0.4 - 0.05) and twice 1 - sigmoid(0.05 + 0.3)
  ("kto", {"beta": 0.5, "undesirable_weight": 2.0}, (sigmoid(-0.35) + 2 * sigmoid(-0.35)) / 2),
  ("simpo", {"beta": 2.0, "gamma": 0.5}, softplus(-(2 * (-1 + 1.5) - 0.5))),
  # p = e^-1 and e^-1.5: odds 1 / (e - 1) and 1 / (e^1.5 - 1); sigmoid(log a - log b) = a / (a + b)
  ("orpo", {"weight": 0.5}, 1 + 0.5 * np.log1p((np.e - 1) / (np.exp(1.5) - 1))),
  ("orpo", {"weight": 0.0}, 1.0),
  ("sft", {}, 1.0),
  # s_w - s_l = 1.5, less a margin of 0.5; (2 + 0.5)^2 = 6.25
  ("bradley_terry", {}, softplus(-1.5)),
  ("bradley_terry", {"margin": 0.5, "centering": 0.1}, softplus(-1.0) + 0.625),
)


@pytest.mark.parametrize(("name", "options", "wanted"), GOLDEN)
def test_one_pair_by_hand_whichever_response_comes_first(name, options, wanted):
  np.testing.assert_allclose(call(LOSSES[name], one_pair(), **options)[0], wanted, rtol=1e-6)
  swapped = {key: x[:, ::-1] for key, x in one_pair().items()}
  np.testing.assert_allclose(call(LOSSES[name], swapped, **options)[0], wanted, rtol=1e-6)


def test_the_table_by_hand_has_every_loss():
  here = {n for n, f in LOSSES.items() if f.__module__.removeprefix("algorithms.") in HERE}
  assert {name for name, _, _ in GOLDEN} == here | {"sft", "bradley_terry"}


def test_xpo_is_dpo_of_a_response_and_the_references_and_less_of_that():
  for theirs, bonus in (([[1.0, 0.0]], -2.0), ([[0.0, 1.0]], -4.5)):
    arrays = one_pair() | {"by_reference": A(theirs)}
    given = call(LOSSES["xpo"], arrays, beta=0.5, alpha=0.1)[0]
    np.testing.assert_allclose(given, softplus(-0.7) + 0.1 * bonus, rtol=1e-6)


def test_xpo_compares_no_two_responses_of_one_policy():
  """h = 1, 2, 3, 4 and rewards 3, 2, 1, 0: the pairs are 0 with 2 and 3, and 1 with 2 and 3."""
  arrays = one_token([[1.0, 2.0, 3.0, 4.0]], [[0.0] * 4], [[3.0, 2.0, 1.0, 0.0]])
  arrays["by_reference"] = A([[0.0, 0.0, 1.0, 1.0]])
  given = call(LOSSES["xpo"], arrays, beta=1.0, alpha=0.0)[0]
  wanted = (softplus(2.0) + softplus(3.0) + softplus(1.0) + softplus(2.0)) / 4
  np.testing.assert_allclose(given, wanted, rtol=1e-6)


def test_a_tied_pair_has_the_second_term_of_xpo_alone():
  arrays = one_token([[1.0, 2.0]], [[0.0, 0.0]], [[1.0, 1.0]]) | {"by_reference": A([[0.0, 1.0]])}
  slope = gradient("xpo", arrays, alpha=0.25)
  np.testing.assert_allclose(slope, A([[[0.0], [0.25]]]))


def test_metrics_are_those_of_the_pair():
  _, metrics = call(LOSSES["sppo_hard"], one_pair(), beta=0.5)
  wanted = {
    "rewards/chosen": 0.4,
    "rewards/rejected": -0.3,
    "rewards/margins": 0.7,
    "rewards/accuracies": 1.0,
    "logps/chosen": -2.0,
    "logps/rejected": -4.5,
  }
  assert metrics.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
  ("name", "options", "chosen", "rejected"),
  [
    ("ld_dpo", {"beta": 0.5, "ld_alpha": 0.5}, 0.4, -0.275),  # 0.5 * -0.55
    ("simpo", {"beta": 2.0}, -2.0, -3.0),  # beta times the mean log-probs -1 and -1.5
    ("orpo", {"weight": 0.1}, -0.1, -0.15),
    ("kto", {"beta": 0.5}, 0.4, -0.3),
  ],
)
def test_implicit_rewards_are_on_the_scale_of_the_loss(name, options, chosen, rejected):
  _, metrics = call(LOSSES[name], one_pair(), **options)
  np.testing.assert_allclose(metrics["rewards/chosen"], chosen, rtol=1e-6)
  np.testing.assert_allclose(metrics["rewards/rejected"], rejected, rtol=1e-6)
  np.testing.assert_allclose(metrics["rewards/margins"], chosen - rejected, rtol=1e-5)
  assert metrics["rewards/accuracies"] == 1


# --- KTO ------------------------------------------------------------------------------------------


def test_kto_needs_no_pairs():
  # K = 1, h = (0.8, 0.2, 0.5), the last one unscored: z0 = beta 0.5, r = (0.8, 0.2) at beta = 1
  arrays = one_token([[-1.0], [-1.0], [-1.0]], [[-1.8], [-1.2], [-1.5]], [[1.0], [0.0], [jnp.nan]])
  loss, metrics = call(LOSSES["kto"], arrays, beta=1.0, desirable_weight=3.0)
  np.testing.assert_allclose(loss, (3 * sigmoid(-(0.8 - 0.5)) + sigmoid(-(0.5 - 0.2))) / 2)
  np.testing.assert_allclose(metrics["kl"], 0.5, rtol=1e-6)
  assert metrics["rewards/accuracies"] == 1  # 0.8 is above z0 and 0.2 below


def test_ktos_kl_is_never_negative():
  # h = (-0.8, 0.2): their mean is -0.3, so z0 = 0
  arrays = one_token([[-1.8], [-1.0]], [[-1.0], [-1.2]], [[1.0], [0.0]])
  loss, metrics = call(LOSSES["kto"], arrays, beta=1.0)
  np.testing.assert_allclose(loss, (sigmoid(0.8) + sigmoid(0.2)) / 2, rtol=1e-6)
  assert metrics["kl"] == 0
  assert metrics["rewards/accuracies"] == 0


def test_ktos_reference_point_has_no_gradient():
  # As by hand above, with w_u = 2: -beta sigmoid'(0.35) / 2 at each token of the better response
  # and twice that, the other way, at each of the worse. Through z0, both would be 1.5 times it.
  slope = 0.5 * sigmoid(0.35) * sigmoid(-0.35) / 2
  wanted = [[[-slope, -slope, 0], [2 * slope, 2 * slope, 2 * slope]]]
  found = gradient("kto", one_pair(), beta=0.5, undesirable_weight=2.0)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_ktos_threshold_says_what_is_desirable():
  # h = (0.5, 0.5, -1), so z0 = 0; by default the first two are desirable, above 1 the first alone
  arrays = one_token([[-1.0, -1.0, -3.0]], [[-1.5, -1.5, -2.0]], [[2.0, 1.0, 0.0]])
  two, one = (call(LOSSES["kto"], arrays, beta=1.0, threshold=t)[0] for t in (0.5, 1.0))
  np.testing.assert_allclose(two, (2 * sigmoid(-0.5) + sigmoid(-1)) / 3, rtol=1e-6)
  np.testing.assert_allclose(one, (sigmoid(-0.5) + sigmoid(0.5) + sigmoid(-1)) / 3, rtol=1e-6)


# --- optimal transport ----------------------------------------------------------------------------


def three_groups():
  """The one in the middle is a tie; its numbers lie between and beyond the others'."""
  logps = [[-1.0, -1.3], [-0.1, -0.7], [-1.0, -2.0]]
  ref_logps = [[-1.1, -2.0], [-5.0, -0.3], [-1.6, -1.7]]
  return one_token(logps, ref_logps, [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])


def test_aot_sorts_the_policys_margins_and_the_references_margins():
  # policy margins (0.3, 1.0), reference margins (0.9, 0.1): sorted 0.3 - 0.1 and 1.0 - 0.9. (DPO
  # has 0.3 - 0.9 and 1.0 - 0.1.)
  loss = call(LOSSES["aot"], three_groups(), beta=1.0)[0]
  np.testing.assert_allclose(loss, (softplus(-0.2) + softplus(-0.1)) / 2, rtol=1e-6)


def test_aot_unpaired_sorts_the_better_and_the_worse_log_ratios():
  # h_w = (0.1, 0.6), h_l = (0.7, -0.3): sorted 0.1 + 0.3 and 0.6 - 0.7
  loss = call(LOSSES["aot_unpaired"], three_groups(), beta=1.0)[0]
  np.testing.assert_allclose(loss, (softplus(-0.4) + softplus(0.1)) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_of_several_best_responses_their_mean_is_sorted(name):
  # l = (-1, -3, -2), ref = (-2, -3, -1), the first two best: l_w = -2, ref_w = -2.5, h_w = 0.5;
  # h_l = -1; margins 0 and -1.5
  arrays = one_token([[-1.0, -3.0, -2.0]], [[-2.0, -3.0, -1.0]], [[1.0, 1.0, 0.0]])
  loss = call(LOSSES[name], arrays, beta=1.0)[0]
  np.testing.assert_allclose(loss, softplus(-1.5), rtol=1e-6)


# --- rankings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("rewards", "wanted"),
  [
    ([2.0, 1.0, 0.0], np.log(4.0)),  # 2/6 of all, then 3/4 of those left: 1/4
    ([1.0, 0.0, 0.0], np.log(3.0)),  # 2/6; the two worst are not ordered
    ([1.0, 1.0, 0.0], np.log(2.0)),  # 2/3 and 3/4, each against the worst
    ([1.0, jnp.nan, 0.0], np.log(1.5)),  # 2/3: the second is not there
    ([1.0, 1.0, 1.0], 0.0),
  ],
)
def test_plackett_luce_draws_the_best_first(rewards, wanted):
  # e^{beta h} = (2, 3, 1)
  h = np.log([[2.0, 3.0, 1.0]]) / 0.5
  loss = call(LOSSES["plackett_luce_dpo"], one_token(-5 + h, 0 * h - 5, [rewards]), beta=0.5)[0]
  np.testing.assert_allclose(loss, wanted, rtol=1e-5)


# --- imitation and reward models ------------------------------------------------------------------


def test_imitation_of_the_best_is_a_mean_over_tokens():
  # best responses: two tokens of -1, one token of -4: 6 / 3 (over responses it would be 5 / 2)
  second = one_pair() | {"logps": A([[[-7.0, -7.0, -7.0], [-4.0, -7.0, -7.0]]])}
  second |= {"rewards": A([[0.0, 1.0]]), "mask": A([[[True, True, True], [True, False, False]]])}
  assert call(LOSSES["sft"], joined(one_pair(), second))[0] == 2.0


def test_bradley_terry_trains_the_scores():
  # d loss / d s_w = -sigmoid(-1) + 0.1 * 2 * 2.5; the third response is not there
  arrays = one_pair()
  arrays |= {"scores": A([[2.0, 0.5, jnp.nan]]), "rewards": A([[1.0, 0.0, 5.0]])}
  arrays["mask"] = jnp.pad(arrays["mask"], ((0, 0), (0, 1), (0, 0)))
  slope = gradient("bradley_terry", arrays, margin=0.5, centering=0.1)
  np.testing.assert_allclose(slope, [[-sigmoid(-1) + 0.5, sigmoid(-1) + 0.5, 0]], rtol=1e-6)
  _, metrics = call(LOSSES["bradley_terry"], arrays)
  wanted = {"accuracy": 1.0, "margin": 1.5, "scores/chosen": 2.0, "scores/rejected": 0.5}
  assert {name: float(x) for name, x in metrics.items()} == wanted
