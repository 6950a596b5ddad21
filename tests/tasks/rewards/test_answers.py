from fractions import Fraction

import pytest

from tasks.rewards.answers import exact_match, final_number, numeric_answer


@pytest.mark.parametrize(
  "wrong", ["", "abc", "Olleh", "olleh ", "olle", "olleho", "hello>olleh", "ollehx", "0123456789"]
)
def test_an_exact_match_accepts_the_answer_and_nothing_else(wrong):
  assert exact_match("olleh", "olleh") == 1
  assert exact_match(wrong, "olleh") == 0


@pytest.mark.parametrize(
  "right",
  [
    "There are 3 boxes of 360 nails.\n#### 1080",
    "3 * 360 = <<3*360=1080>>1080 nails\nA: 1,080",
    "A: 1080.",
    "A: $1,080",
    "A: 1080,",
    "A: 1080.00 dollars",
    "So Ana has 3*360 = <<3*360=1080>>1,080",  # no line for the answer
    "The answer is 1,080 nails, of 4 kinds.",
    "A: 7\nNo, wait.\nA: 1080",
    r"Therefore \boxed{1080} of the 2000.",
    "<think>360 + 720</think><answer>1080</answer> I used 2 steps.",
    "Answer: 2160/2",
  ],
)
def test_a_final_number_is_found_however_it_is_written(right):
  assert numeric_answer(right, "He has 1080.\n#### 1,080") == 1
  assert numeric_answer(right, "1080") == 1


@pytest.mark.parametrize(
  "wrong",
  [
    "",
    "many",
    "#### ",
    "A: 10801",
    "A: 11,080",
    "A: -1080",
    "A: 1080.5",
    "A: 1080/7",
    "A: 1080/0",
    "1080 it is.\nA: 1081",
    "A: 1080\nA: 1081",
    "A: x1080",
    "A: " + "1080" * 5000,
    "0 1 2 3 4 5 6 7 8 9",
  ],
)
def test_a_wrong_number_is_not_taken_for_the_answer(wrong):
  assert numeric_answer(wrong, "#### 1,080") == 0


@pytest.mark.parametrize(
  "text, number",
  [
    ("#### -3", -3),
    ("A: −3", -3),
    ("A: $-2.50", Fraction(-5, 2)),
    ("A: -$2.50", Fraction(-5, 2)),
    ("it fell by 10 - 3 = 7", 7),
    ("from 10-3", 3),
    ("A: .5", Fraction(1, 2)),
    ("A: 1,080,000.25.", Fraction("1080000.25")),
    ("A: 12,34", 12),
    ("1.2.3", Fraction(6, 5)),
  ],
)
def test_signs_points_and_commas(text, number):
  assert final_number(text) == number


def test_an_answer_without_a_number_is_an_error():
  with pytest.raises(ValueError, match="the answer 'a lot' has no number"):
    numeric_answer("1", "a lot")
