import dataclasses

import numpy as np
import pytest

from tasks.datasets import text_groups, text_rows
from tasks.datasets.text_groups import kept_responses
from tasks.datasets.text_rows import Limits
from tasks.rows.row import Row
from tasks.tokenizers.pretrained_tokenizer import load
from tasks.tokenizers.tokenizer import CharTokenizer
from tests.tasks.tokenizers.tiny_tokenizer import TOKENS, folder

TOKENIZER = CharTokenizer()


def tokenize(*rows, group_size=2, max_tokens=4, max_prompt_tokens=10):
  return text_groups.tokenize(
    rows,
    TOKENIZER,
    group_size=group_size,
    max_tokens=max_tokens,
    max_prompt_tokens=max_prompt_tokens,
  )


def texts(groups, n):
  return [
    TOKENIZER.decode(ids[mask])
    for ids, mask in zip(groups.responses[n], groups.mask[n], strict=True)
  ]


def test_a_response_ends_with_the_end_unless_it_was_cut():
  groups, problems = tokenize(Row("p", ("abc", "abcd"), (1.0, 0.0)))
  assert not problems
  assert groups.responses[0, 0].tolist() == [*TOKENIZER.encode("abc"), TOKENIZER.eos_id]
  assert groups.responses[0, 1].tolist() == TOKENIZER.encode("abcd")
  assert groups.mask.all() and groups.finished.tolist() == [[True, False]]
  assert groups.rewards.tolist() == [[1, 0]]  # the score of what was cut stands


@pytest.mark.parametrize(
  ("scores", "k", "kept"),
  [
    ((0.1, 0.9, 0.5, 0.2), 2, [0, 1]),
    ((0.1, 0.9, 0.5, 0.2), 3, [0, 1, 2]),  # best, worst, second best
    ((0.3, 0.9, 0.5, 0.2), 4, [0, 1, 2, 3]),
    ((1.0, 1.0, 0.0, 0.0), 2, [0, 2]),  # of equals the earlier
    ((None, 0.0, None, 1.0), 2, [1, 3]),  # the unscored go first
    ((None, 0.0, None, 1.0), 3, [0, 1, 3]),
    ((None, None, 0.5), 2, [0, 2]),
  ],
)
def test_a_large_group_keeps_its_best_and_worst(scores, k, kept):
  assert kept_responses(scores, k) == kept


def test_a_small_group_is_filled_up_with_what_takes_no_part():
  groups, _ = tokenize(
    Row("p", ("a", "b"), (1.0, None)), Row("q", ("a", "b", "c"), (1.0, 2.0, 3.0)), group_size=3
  )
  assert texts(groups, 0) == ["a", "b", ""] and not groups.mask[0, 2].any()
  assert np.isnan(groups.rewards[0, 1:]).all() and groups.finished.all()
  assert groups.rewards[1].tolist() == [1, 2, 3]


def test_log_probs_are_those_of_the_kept_tokens():
  logps = ((-1.0, -2.0), (-3.0, -4.0, -5.0), (-6.0,) * 6)
  row = Row("p", ("a", "bc", "defgh"), (0.0, 0.5, 1.0), logps)
  groups, problems = tokenize(row, Row("q", ("a", "b"), (1.0, 0.0)))
  assert not problems and groups.known.tolist() == [True, False]
  assert groups.logps[0].tolist() == [[-1, -2, 0, 0], [-6, -6, -6, -6]]


def test_all_that_does_not_fit_is_said_with_the_row():
  groups, problems = tokenize(
    Row("p" * 11, ("a", "b"), (1.0, 0.0), where="f row 1"),
    Row("p", ("a", "b"), (1.0, 0.0), ((-1.0,), (-1.0, -1.0)), where="f row 2"),
    Row("é", ("a", "b"), (1.0, 0.0), where="f row 3"),
    Row((("system", "x"), ("user", "y")), ("a", "b"), (1.0, 0.0), where="f row 4"),
    Row("p", ("a", "b"), (1.0, 0.0), where="f row 5"),
  )
  assert len(groups) == 1 and groups.rows[0].where == "f row 5"
  said = [str(problem) for problem in problems]
  assert len(said) == 4
  assert "f row 1: the prompt has 11 tokens, more than data.max_prompt_tokens=10" in said[0]
  assert "f row 2: response 1 has 1 log-probs, and 2 tokens with its end" in said[1]
  assert "no 'é'" in said[2] and "conversation" in said[3]


def test_what_was_cut_is_told():
  groups, _ = tokenize(
    Row("p", ("a", "bcdef", "c"), (1.0, 0.0, 0.5)), Row("pq", ("a", "b"), (1.0, 1.0))
  )
  told = "\n".join(text_groups.describe(groups, 4))
  assert "prompts: 1 tokens in the middle" in told and "the longest 2" in told
  assert "1 of 4 cut to sampling.max_tokens=4" in told
  assert "1 groups of more than 2 responses cut, 0 of fewer filled up" in told
  assert "1 groups of equal scores" in told


def test_responses_that_are_alike_after_the_cut_are_unscored():
  groups, problems = tokenize(
    Row("p", ("abcdX", "abcdY"), (1.0, 0.0)),
    Row("p", ("abcdX", "abcdY", "e"), (1.0, 0.0, 0.5)),
    Row("p", ("abcdX", "abcdY"), (1.0, 1.0)),  # nothing to tell apart
    Row("p", ("abcdX", "b"), (1.0, 0.0)),
    group_size=3,
  )
  assert not problems
  nan = np.nan
  expected = [[nan, nan, nan], [nan, nan, 0.5], [1, 1, nan], [1, 0, nan]]
  np.testing.assert_array_equal(groups.rewards, np.array(expected, np.float32))
  told = "\n".join(text_groups.describe(groups, 4))
  assert "2 groups with responses that are alike after the cut to sampling.max_tokens=4" in told
  assert "1 groups of equal scores" in told


def test_groups_of_one_response_are_told():
  groups, _ = tokenize(Row("p", ("a",), (1.0,)), Row("q", ("b",), (0.0,)), group_size=1)
  assert groups.rewards.tolist() == [[1], [0]]
  told = "\n".join(text_groups.describe(groups, 4))
  assert "2 groups of one response, of which no pair is made" in told and "equal" not in told


def test_a_response_that_spells_an_end_is_refused(tmp_path):
  tokenizer = load(folder(tmp_path), embeddings=len(TOKENS))
  rows = [Row("p", ("a", "bc</s>"), (1.0, 0.0), where="f row 1"), Row("p", ("a", "b"), (1.0, 0.0))]
  limits = Limits(group_size=2, max_tokens=9, max_prompt_tokens=99)
  _, problems = text_groups.tokenize(rows, tokenizer, **dataclasses.asdict(limits))
  assert [problem.where for problem in problems] == ["f row 1"]
  refused = text_rows.refused(rows, np.arange(2), tokenizer, limits, lambda number: None)
  assert refused == [(0, problems[0])]  # also where few rows are put into tokens
  assert "response 2 spells an end token of this run's tokenizer (its token 3 of 3)" in str(
    problems
  )
