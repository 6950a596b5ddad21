import itertools
import re

import pytest

from tasks.demonstrations import Mixture
from tasks.rewards.answers import numeric_answer
from tasks.sums import running_sum


def first(n, **options):
  return list(itertools.islice(running_sum(**options), n))


def test_the_answer_is_the_running_totals_of_the_prompt():
  for item in first(500):
    terms = [int(term) for term in re.findall(r"[-+]?\d", item.prompt)]
    assert len(terms) == 4
    assert [int(total) for total in item.answer.split()] == list(itertools.accumulate(terms))[1:]
    assert min(map(int, item.answer.split())) >= 0


def test_it_gives_the_same_prompts_each_time_and_others_for_other_terms():
  assert first(50) == first(50) != first(50, terms=3)


def test_there_are_enough_distinct_prompts_for_the_default_config():
  assert len({item.prompt for item in first(60_000)}) > 16_640


def test_of_what_its_base_policy_is_taught_the_reward_wants_one_behaviour():
  mixture = Mixture(running_sum.traits.demonstrations)  # pyrefly: ignore
  for item in first(200):
    right, *others = (numeric_answer(text, item.answer) for text in mixture.of(item))
    assert right == 1.0
    assert mixture.of(item)[2] == item.answer.rpartition(" ")[0]
    assert others[2] == 0.0  # the last step is wrong
  assert sum(numeric_answer(mixture.of(i)[1], i.answer) for i in first(500)) < 100


def test_a_sum_of_one_term_is_refused():
  with pytest.raises(ValueError, match="terms=1: at least 2"):
    first(1, terms=1)
