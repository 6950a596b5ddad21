"""Several samples of a prompt: pass@k and the vote, by hand and by drawing."""

import itertools

import numpy as np
import pytest

from comparing import scores
from tasks.rewards.reward import Reward
from training import votes

RIGHT = np.array([[True, False, False, False], [True, True, False, True], [False] * 4])


def test_the_ks_are_powers_of_two_and_n():
  assert [votes.tries(n) for n in (1, 2, 4, 6)] == [[1], [1, 2], [1, 2, 4], [1, 2, 4, 6]]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_pass_at_k_is_the_share_of_all_choices_of_k_with_a_right_one(k):
  choices = list(itertools.combinations(range(4), k))
  expected = [np.mean([row[list(c)].any() for c in choices]) for row in RIGHT]
  np.testing.assert_allclose(votes.pass_at_k(RIGHT, k), expected)


def test_the_majority_by_hand():
  answers = np.array(
    [
      [0, 1, 1, 2],  # 1 leads, and is wrong
      [0, 1, 1, 0],  # 0 and 1 lead, one of which is right
      [0, -1, -1, -1],  # those without an answer have no vote
      [-1, -1, -1, -1],
      [0, 1, 2, 3],  # each leads
    ]
  )
  right = np.array([[1, 0, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
  np.testing.assert_allclose(votes.majority(answers, right), [0, 0.5, 1, 0, 0.25])


def test_equal_answers_share_a_number_in_their_prompt_alone():
  texts = [["7 ", "7", "8", "7"], ["8", "8", "7", "7"]]
  counts = np.array([[True, True, True, False], [True] * 4])
  found = votes.answer_numbers(texts, counts, str.strip)
  assert found.tolist() == [[0, 0, 1, -1], [0, 0, 1, 1]]


def test_answers_are_compared_as_their_reward_reads_them():
  reward = Reward("numeric + 0.1*length(max=9)")
  read = reward.answer_of("numeric")
  assert read is not None
  texts = [["so 18", "#### 18.0", "36/2", "40 or 41"]]
  assert votes.answer_numbers(texts, np.ones((1, 4), bool), read).tolist() == [[0, 0, 0, -1]]
  assert Reward("exact").answer_of("exact") is str.strip
  assert reward.answer_of("length") is None and reward.answer_of("") is None
  assert Reward("math").answer_of("math") is None


def test_pages_show_the_pass_of_the_most_samples():
  metrics = {"eval/pass@1", "eval/pass@4", "eval/pass@16", "eval/maj@16", "eval/kl"}
  assert [scores.of_most(metrics, kind) for kind in scores.OF_SEVERAL] == [
    ["eval/pass@16"],
    ["eval/maj@16"],
  ]
  assert scores.of_most({"eval/kl"}, "eval/pass@") == []
