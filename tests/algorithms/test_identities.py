"""The identities between losses that the project is about."""

import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  LOSSES,
  dpo,
  grpo,
  implied_rewards,
  off_policy_grpo,
  offline_grpo,
)
from algorithms.implied_rewards import from_gradient
from tests.algorithms.groups import arrays_of, call, cases, evaluate, policy_word, random_groups
from tests.algorithms.scenarios import SCENARIOS, compiled, plain


def gradient(loss, arrays, **options):
  return evaluate(loss, arrays, options)[2]


def cosine(a, b):
  return (a * b).sum() / jnp.sqrt((a * a).sum() * (b * b).sum())


def pairs_at_the_reference(equal_lengths=False):
  arrays = random_groups(k=2)
  arrays["rewards"] = jnp.tile(jnp.array([[1.0, 0.0]]), (4, 1))
  arrays |= {"ref_logps": arrays["logps"], "old_logps": arrays["logps"]}
  return arrays | ({"mask": jnp.ones_like(arrays["mask"])} if equal_lengths else {})


def test_dpo_gradient_is_beta_times_that_of_off_policy_grpo_at_the_reference():
  arrays = pairs_at_the_reference()
  grpo_gradient = gradient(off_policy_grpo, arrays, ratio="sequence")
  dpo_gradient = gradient(dpo, arrays, beta=0.3)
  # off_policy_grpo with sequence_mean over a ratio that is one number a response: rho_i itself.
  assert cosine(dpo_gradient, grpo_gradient) > 1 - 1e-6
  ratio = jnp.linalg.norm(dpo_gradient) / jnp.linalg.norm(grpo_gradient)
  np.testing.assert_allclose(ratio, 0.3 * 0.5001 / 0.5, rtol=1e-5)  # 1e-4: the eps beside the std


def test_the_token_ratio_breaks_the_parallel_when_lengths_differ_and_only_then():
  ragged, equal = pairs_at_the_reference(), pairs_at_the_reference(equal_lengths=True)
  assert cosine(gradient(dpo, equal), gradient(off_policy_grpo, equal)) > 1 - 1e-6
  assert cosine(gradient(dpo, ragged), gradient(off_policy_grpo, ragged)) < 0.99


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [2, 5])
def test_offline_grpo_with_dpo_weights_has_dpos_gradient_everywhere(seed, k):
  arrays = random_groups(seed, k=k, distance=2.0)
  np.testing.assert_allclose(
    gradient(offline_grpo, arrays, weights="dpo", beta=0.7),
    gradient(dpo, arrays, beta=0.7),
    rtol=1e-6,
    atol=1e-7,
  )


def test_on_the_first_step_grpo_has_loss_zero_and_a_gradient_all_the_same():
  arrays = random_groups()
  arrays["old_logps"] = arrays["logps"]
  loss, metrics = call(grpo, arrays)
  assert abs(loss) < 1e-7
  assert metrics["ratio/mean"] == 1
  assert jnp.abs(gradient(grpo, arrays)).max() > 0.01


# Losses of a mean over the response's tokens. The others weigh the log-prob of the whole response.
MEANS_OF_TOKENS = """
  simpo sigmoid_norm ipo grpo unclipped_grpo two_sided_grpo gspo gmpo sapo entropy_bonus_grpo
  masked_off_policy_grpo truncated_grpo gdpo off_policy_grpo opo
""".split()
SUMS = ({"length_average": False, "pairs": "all"}, {"ratio": "sequence"})  # options that undo it
NOT_ZERO_SUM = {
  "sft": "nobody is pushed down",
  "on_policy_distillation": "each token is judged by the teacher",
  "kto": "each response is judged by itself",
  "apo_down": "both of a pair are pushed down",
  "orpo": "the better one is imitated as well",
  "ld_dpo": "what the longer one of a pair has too much weighs less",
  "reinforce": "the baseline is not the group's",
  "ppo": "the baseline is the critic's",
  "top_entropy_grpo": "some tokens are left out",
  "reinforce_plus_plus": "the baseline is the batch's mean",
  "reinforce_plus_plus_baseline": "whitening takes a mean over tokens off",
  "real": "the harder of two classes pulls more",
  "amir_grpo": "one term is zero-sum for tokens, the other for responses",
  "pass_at_k": "nobody is pushed down",
  "clip_cov": "some tokens weigh less",
  "asymre": "the baseline is lower than the group's mean",
  "remax": "the baseline is the greedy response's reward",
  "a_star_po": "the baseline is of the reference's rewards",
  "xpo": "the reference's responses are pushed down as well",
}
every_zero_sum_case = pytest.mark.parametrize(
  ("loss", "options"),
  [pytest.param(*case[1:], id=case[0]) for case in cases() if case[1].__name__ not in NOT_ZERO_SUM],
)


def implied(loss, options, scenario, per):
  gradient = compiled(loss, options, scenario, "defaults").gradients[policy_word(loss)]
  if gradient.ndim == 2:  # a reward model's scores: one a response, whatever its length
    return -gradient
  mask = SCENARIOS[scenario](plain())["mask"]
  return from_gradient(jnp.asarray(gradient), jnp.asarray(mask), per=per)


def imbalance(implied):
  """The sum that is left over in the worst group, relative to the largest implied reward."""
  return jnp.abs(implied.sum(axis=1)).max() / jnp.abs(implied).max()


@every_zero_sum_case
def test_implied_rewards_sum_to_zero_in_each_group(loss, options):
  sums = loss.__name__ not in MEANS_OF_TOKENS or options in SUMS
  per, other = ("sequence", "tokens") if sums else ("tokens", "sequence")
  assert imbalance(implied(loss, options, "at the reference", per)) < 1e-6
  # In the other reading they do when lengths are equal, and only then: so length enters.
  assert imbalance(implied(loss, options, "equal lengths", other)) < 1e-6
  of_scores = policy_word(loss) == "scores"
  assert imbalance(implied(loss, options, "at the reference", other)) > 0.1 or of_scores


# By a hair in one reading: AMIR-GRPO's second term weighs 0.01, XPO's 1e-5. A policy that teaches
# itself has nothing to learn.
HARDLY = ("amir_grpo", "xpo", "on_policy_distillation")


@pytest.mark.parametrize("name", [name for name in NOT_ZERO_SUM if name not in HARDLY])
def test_those_that_are_let_off_do_not(name):
  for per in ("sequence", "tokens"):
    assert imbalance(implied(LOSSES[name], {}, "at the reference", per)) > 0.05


def test_length_enters_grpo_between_the_two_ways_to_weigh_a_response():
  """Per sequence GRPO rewards short responses more; it is zero-sum there when lengths are equal."""
  ragged = implied_rewards(grpo)(**arrays_of(grpo, pairs_at_the_reference()))
  assert jnp.abs(ragged.sum(axis=1)).max() > 1e-3  # each response weighs 1 / n_i
  equal = implied_rewards(grpo)(**arrays_of(grpo, pairs_at_the_reference(equal_lengths=True)))
  np.testing.assert_allclose(equal.sum(axis=1), 0, atol=1e-7)
