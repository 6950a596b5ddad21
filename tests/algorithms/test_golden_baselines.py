"""Other baselines and objectives: numbers worked out by hand, each with its derivation."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  gpg,
  lite_ppo,
  maxrl,
  opo,
  pass_at_k,
  reinforce,
  reinforce_plus_plus,
  reinforce_plus_plus_baseline,
  remax,
)
from algorithms.advantages import best_of_k_gain, length_weighted, mean_relative
from tests.algorithms.by_hand import GARBAGE, A, a, close, gradient, log, two_responses
from tests.algorithms.groups import arrays_of

first, second = -3 + log(1.65), -1.5 + log(0.5)
white = np.array([1.0, 1.1, -0.2])  # see reinforce_plus_plus_kl
white = (white - white.mean()) / white.std()

GOLDEN = {
  # The mean is 0.5: A = +-1; ratios 1.1, 1.5 -> 1.2, 0.5 -> 0.8.
  "maxrl": (maxrl, {}, -(1.1 + 1.2 - 0.8) / 3),
  # Of two the first adds 1 to the second, which adds nothing: A = 2, 0.
  "pass_at_k": (pass_at_k, {"k": 2}, -2 * first / 2),
  # The batch is one group: its std is 0.5.
  "lite_ppo": (lite_ppo, {}, -(1.1 + 1.2 - 0.8) / 3 * a),
  # Tokens 1, 1, 0: mean 2/3, variance 2/9: A = sqrt(1/2), sqrt(1/2), -sqrt 2.
  "reinforce_plus_plus": (
    reinforce_plus_plus,
    {},
    -((1.1 + 1.2) * np.sqrt(0.5) - 0.8 * np.sqrt(2)) / 3,
  ),
  # beta = 0.1, log pi_old - log pi_ref = (1, -1 | 2): to come 0, -1 | 2, so 1, 1.1 | -0.2.
  "reinforce_plus_plus_kl": (
    reinforce_plus_plus,
    {"beta": 0.1, "ref_logps": A([[[-2.0, -1.0], [-3.5, GARBAGE]]])},
    -(1.1 * white[0] + 1.2 * white[1] + 0.8 * white[2]) / 3,
  ),
  # Tokens 0.5, 0.5, -0.5: the same once they are whitened.
  "reinforce_plus_plus_baseline": (
    reinforce_plus_plus_baseline,
    {},
    -((1.1 + 1.2) * np.sqrt(0.5) - 0.8 * np.sqrt(2)) / 3,
  ),
  # k2 of log pi_theta - log pi_ref = (log 2, log 2 | -log 2).
  "reinforce_plus_plus_baseline_kl": (
    reinforce_plus_plus_baseline,
    {
      "beta": 0.1,
      "ref_logps": two_responses()["logps"] - log(2) * A([[[1.0, 1.0], [-1.0, GARBAGE]]]),
    },
    -((1.1 + 1.2) * np.sqrt(0.5) - 0.8 * np.sqrt(2)) / 3 + 0.1 * log(2) ** 2 / 2,
  ),
  # The only group is untied: alpha = 1; A = +-0.5.
  "gpg": (gpg, {}, -0.5 * (first - second) / 3),
  "remax": (remax, {"greedy_rewards": A([0.25])}, -(0.75 * first - 0.25 * second) / 2),
  # log pi - log pi_ref is 0.5 at each token: beta times 1 and 0.5 are off the rewards.
  "remax_kl": (
    remax,
    {
      "greedy_rewards": A([0.25]),
      "beta": 0.1,
      "ref_logps": two_responses()["logps"] - 0.5,
    },
    -(0.65 * first - 0.3 * second) / 2,
  ),
  # Two tokens with 1, one with 0: the baseline is 2/3.
  "opo": (opo, {}, -(first / 3 - second * 2 / 3) / 2),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_value_by_hand(name):
  loss, inputs, wanted = GOLDEN[name]
  given = arrays_of(loss, {"ref_logps": None} | two_responses() | inputs)
  options = {option: x for option, x in inputs.items() if not hasattr(x, "shape")}
  close(loss(**given, **options)[0], wanted)


def test_the_alpha_of_gpg_makes_up_for_tied_groups():
  arrays = arrays_of(gpg, two_responses())
  with_a_tie = {name: jnp.concatenate([x, x]) for name, x in arrays.items()}
  with_a_tie["rewards"] = A([[1.0, 0.0], [1.0, 1.0]])
  loss, metrics = gpg(**with_a_tie)
  close(loss, gpg(**arrays)[0])
  assert metrics["gpg/alpha"] == 2


def test_opo_pushes_no_more_tokens_up_than_down():
  push = -gradient(opo, arrays_of(opo, two_responses()))
  close(push, [[[1 / 6, 1 / 6], [-1 / 3, 0]]])
  close(length_weighted(A([[1.0, 0.0, jnp.nan]]), A([[2.0, 1.0, 9.0]])), [[1 / 3, -2 / 3, 0]])


def test_maxrl_imitates_the_right_responses_and_asks_more_of_hard_prompts():
  # One right of four: mean 1/4, A = 3 and -1; three right: mean 3/4, A = 1/3 and -1.
  close(mean_relative(A([[1.0, 0, 0, 0], [1, 1, 1, 0]])), [[3, -1, -1, -1], [1 / 3] * 3 + [-1]])
  close(mean_relative(A([[0.0, 0.0], [-1.0, 0.5], [1.0, jnp.nan]])), jnp.zeros((3, 2)))


def test_maxrl_refuses_a_negative_reward():
  arrays = two_responses(rewards=A([[1.0, -1.0]]))
  with pytest.raises(ValueError, match="rewards of 0 and more, not -1"):
    maxrl(**arrays)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_best_of_k_gain_is_the_mean_over_all_sets_of_others(k):
  rewards = np.array([[0.2, 1.0, 0.2, 3.0, -1.0], [1.0, 0.0, 0.0, 1.0, 0.0]])
  wanted = np.zeros_like(rewards)
  for b, i in np.ndindex(rewards.shape):
    others = np.delete(rewards[b], i)
    gains = [max(rewards[b, i] - max(s), 0) for s in itertools.combinations(others, k - 1)]
    wanted[b, i] = k * np.mean(gains)
  close(best_of_k_gain(A(rewards, float), k), wanted)
  with_unscored = np.insert(rewards, 2, np.nan, axis=1)
  close(best_of_k_gain(A(with_unscored), k), np.insert(wanted, 2, 0, axis=1))


def test_the_best_of_more_than_there_are_pushes_nothing():
  assert (best_of_k_gain(A([[1.0, 0.0, jnp.nan]]), 3) == 0).all()


def test_pass_at_k_is_unbiased():
  """Of a policy over three answers, by enumerating all groups of three; pass@2's gradient."""
  p, r, k = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 4.0]), 2
  estimate = np.zeros(3)
  for group in itertools.product(range(3), repeat=3):
    weights = np.asarray(best_of_k_gain(A(r[list(group)])[None], k))[0] / 3
    for w, answer in zip(weights, group, strict=True):
      score = (np.arange(3) == answer) - p  # d log p / d logits
      estimate += np.prod(p[list(group)]) * w * score
  exact = np.zeros(3)
  for pair in itertools.product(range(3), repeat=k):
    scores = sum((np.arange(3) == answer) - p for answer in pair)
    exact += np.prod(p[list(pair)]) * max(r[list(pair)]) * scores
  close(estimate, exact)


def test_a_prompt_whose_greedy_response_has_no_reward_teaches_remax_nothing():
  arrays = arrays_of(remax, {"ref_logps": None} | two_responses(greedy_rewards=A([jnp.nan])))
  loss, metrics = remax(**arrays)
  assert loss == 0 and metrics["remax/greedy_reward"] == 0
  assert (gradient(remax, arrays) == 0).all()


def test_remax_at_the_groups_mean_is_reinforce_with_that_baseline():
  """With the mean of the batch's one group as the greedy reward, the two are one."""
  arrays = two_responses(greedy_rewards=A([0.5]), ref_logps=two_responses()["old_logps"])
  for beta in (0.0, 0.3):
    given = gradient(remax, arrays_of(remax, arrays), beta=beta)
    plain = arrays_of(reinforce, arrays | {"reward_baseline": jnp.full((1, 2), 0.5)})
    close(given, gradient(reinforce, plain, beta=beta, baseline="running"))
