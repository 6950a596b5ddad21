"""The parts of policy-gradient losses, by hand: advantages, reductions, ratios, corrections."""

import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.advantages import (
  batch_relative,
  centered,
  generalized_advantages,
  group_relative,
  leave_one_out,
  per_reward,
  whiten,
)
from algorithms.corrections import (
  off_policy_sequence_mask,
  top_entropy_mask,
  truncated_importance_weights,
)
from algorithms.policy_gradient import geometric_mean_ratio
from algorithms.reductions import constant_mean

A = jnp.array


def close(given, wanted):
  np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-6)


def test_batch_relative():
  # group means 0.5 and 2.5: deviations +-0.5; batch mean 1.5, squares 0.25 2.25 2.25 0.25, sum 5
  rewards = A([[1.0, 0.0], [3.0, 2.0]])
  scale = 0.5 / np.sqrt(5 / 4)
  close(batch_relative(rewards, eps=0.0), [[scale, -scale], [scale, -scale]])
  scale = 0.5 / np.sqrt(5 / 3)
  close(batch_relative(rewards, ddof=1, eps=0.0), [[scale, -scale], [scale, -scale]])


def test_per_reward():
  # Group 1 has both rewards at odds, group 2 the first only: each is +-1 in its group, the sums are
  # +-2 and +-1, their variance (4 + 4 + 1 + 1) / 4 = 2.5.
  parts = A([[[1.0, 5.0], [0.0, 3.0]], [[1.0, 3.0], [0.0, 3.0]]])
  s = np.sqrt(2.5)
  close(per_reward(parts, eps=1e-7), [[2 / s, -2 / s], [1 / s, -1 / s]])
  # ddof = 1: each +-1/sqrt 2; sums +-sqrt 2 and +-1/sqrt 2; variance (2 + 2 + 0.5 + 0.5) / 3
  s = np.sqrt(5 / 3)
  wanted = [[np.sqrt(2) / s, -np.sqrt(2) / s], [np.sqrt(0.5) / s, -np.sqrt(0.5) / s]]
  close(per_reward(parts, ddof=1, eps=1e-7), wanted)


def test_a_response_that_one_of_the_rewards_does_not_judge_still_has_the_others():
  # Reward 1 judges all: deviations (1, 0, -1), variance 2/3, so +-r with r = sqrt 1.5. Reward 2
  # leaves the third out: (1, -1, -). Sums (r + 1, -1, -r); their mean is 0.
  parts = A([[[3.0, 5.0], [2.0, 3.0], [1.0, jnp.nan]]])
  r = np.sqrt(1.5)
  sums = np.array([[r + 1, -1, -r]])
  close(per_reward(parts, eps=0.0), sums / np.sqrt((sums**2).mean()))


@pytest.mark.parametrize(
  "advantages", [centered, group_relative, batch_relative, leave_one_out, per_reward]
)
def test_an_unscored_response_leaves_its_group_as_if_it_were_not_there(advantages):
  rewards = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 7.0]], np.float32)
  with_unscored = np.insert(rewards, 1, np.nan, axis=1)
  if advantages is per_reward:
    rewards, with_unscored = (np.stack([x, x**2], axis=2) for x in (rewards, with_unscored))
  given = np.asarray(advantages(A(with_unscored)))
  assert (given[:, 1] == 0).all() and (given != 0).any()
  close(np.delete(given, 1, axis=1), advantages(A(rewards)))


def test_generalized_advantages_of_unequal_lengths():
  # gamma = lambda = 1/2. Row 1, values 0.5 1 2, reward 1 at the end:
  #   delta = (0 + 1/2 - 1/2, 0 + 2/2 - 1, 1 - 2) = (0, 0, -1)
  #   A_3 = -1, A_2 = 0 + A_3 / 4 = -1/4, A_1 = A_2 / 4 = -1/16
  # Row 2 ends after one token with reward 2 and value 0.5: A_1 = 2 - 0.5, whatever comes after.
  rewards = A([[[0.0, 0.0, 1.0], [2.0, 99.0, jnp.inf]]])
  values = A([[[0.5, 1.0, 2.0], [0.5, 99.0, jnp.nan]]])
  mask = A([[[True, True, True], [True, False, False]]])
  given = generalized_advantages(rewards, values, mask, 0.5, 0.5)
  np.testing.assert_array_equal(given, [[[-1 / 16, -1 / 4, -1], [1.5, 0, 0]]])


def test_whiten_looks_at_tokens_that_count_only():
  # 1 and 3: mean 2, variance 1
  x, mask = A([[[1.0, 3.0], [100.0, jnp.nan]]]), A([[[True, True], [False, False]]])
  close(whiten(x, mask), [[[-1, 1], [0, 0]]])


def test_constant_mean_divides_by_no_length():
  # (1 + 1 + 4) / (1 * 2 * 5)
  x, mask = A([[[1.0, 1.0], [4.0, 9.0]]]), A([[[True, True], [True, False]]])
  close(constant_mean(x, mask, 5.0), 0.6)


def test_geometric_mean_ratio():
  # sqrt(2 * 8) = 4, and 8 alone
  log_ratio, mask = jnp.log(A([[[2.0, 8.0], [8.0, 3.0]]])), A([[[True, True], [True, False]]])
  close(geometric_mean_ratio(log_ratio, mask), [[[4, 4], [8, 1]]])


# --- corrections ----------------------------------------------------------------------------------


def test_the_share_of_tokens_with_the_highest_entropy():
  mask = A([[[True, True, True], [True, True, False]]])
  entropy = A([[[5.0, 1.0, 3.0], [2.0, 4.0, 99.0]]])
  # of 1 2 3 4 5: the 0.8-quantile is 4.2, the 0.5-quantile 3, the 0-quantile 1
  for share, kept in ((0.2, [5]), (0.5, [3, 4, 5]), (1.0, [1, 2, 3, 4, 5])):
    given = top_entropy_mask(entropy, mask, share)
    np.testing.assert_array_equal(np.sort(entropy[given]), kept)
  assert not top_entropy_mask(entropy, jnp.zeros_like(mask), 0.5).any()


def test_only_bad_and_stale_responses_are_left_out():
  # staleness: the mean over two tokens of log pi_old - log pi_theta, (0.6 + 0.2) / 2 = 0.4
  old, mask = jnp.zeros((1, 1, 3)), A([[[True, True, False]]])
  logps = A([[[-0.6, -0.2, -50.0]]])
  for advantage, threshold, kept in ((-1.0, 0.41, True), (-1.0, 0.39, False), (1.0, 0.39, True)):
    given = off_policy_sequence_mask(logps, old, A([[advantage]]), mask, threshold)
    assert given.item() == kept


def test_truncated_importance_weights():
  # log pi_old - log pi_sampler = log 3, log 0.5, and garbage at the padding
  old, mask = jnp.log(A([[[3.0, 0.5, 9.0]]])), A([[[True, True, False]]])
  sampler = jnp.zeros_like(old)
  close(truncated_importance_weights(old, sampler, mask, "token", 2.0), [[[2, 0.5, 1]]])
  close(truncated_importance_weights(old, sampler, mask, "sequence", 2.0), [[[1.5, 1.5, 1]]])
  close(truncated_importance_weights(old, sampler, mask, "sequence", 1.2), [[[1.2, 1.2, 1]]])
