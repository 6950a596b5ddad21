"""Answers in LaTeX: each is right itself, and no part of it is."""

import pytest

from tasks.rewards.math_verification import math_answer


@pytest.mark.parametrize(
  "answer, right, wrong",
  [
    (r"1 - \sqrt{2}", r"\boxed{1-\sqrt2}", r"\boxed{1}"),
    (r"$1 - \sqrt{2}$", r"It is $-\sqrt{2} + 1$.", "1"),
    (r"2\pi", r"\boxed{2\pi}", r"\boxed{2}"),
    ("(1, 2)", r"\boxed{(1, 2)}", r"\boxed{2}"),
    ("[0, 1)", r"\boxed{[0, 1)}", r"\boxed{[0, 1]}"),
    (r"\{1, 2\}", r"\boxed{\{2, 1\}}", r"\boxed{1}"),
    ("5!", r"\boxed{120}", r"\boxed{5}"),
    ("1, 2", r"\boxed{1} and \boxed{2}", "2"),
    (r"\frac{3}{4}", "0.75", "4"),
    ("2 1/2", r"\boxed{\frac{5}{2}}", r"\boxed{\frac{3}{2}}"),
    ("3 < x < 5", "$3 < x < 5$", "5"),
    ("x = 5", r"\boxed{5}", r"\boxed{x = 6}"),
    ("1 080", r"\boxed{1080}", r"\boxed{81}"),
    ("1{,}080", r"\boxed{1{,}080}", r"\boxed{1}"),
    ("12 apples", r"\boxed{12}", r"\boxed{2}"),
    ("60 km/h", r"\boxed{60}", r"\boxed{6}"),
    (r"30^\circ", "30", "3"),
    ("50%", r"\boxed{50\%}", r"\boxed{5}"),
    (r"\text{even}", r"\boxed{\text{even}}", r"\boxed{\text{odd}}"),
    ("(C)", r"\boxed{C}", r"\boxed{B}"),
    (r"-\infty", r"\boxed{-\infty}", r"\boxed{\infty}"),
    ("So 3 * 4 = 12.\n#### 12", "12", "3"),
    (r"so it is $\boxed{\sqrt{3}}$", r"\boxed{\sqrt{3}}", r"\boxed{3}"),
  ],
)
def test_an_answer_is_right_and_a_part_of_it_is_not(answer, right, wrong):
  assert [math_answer(text, answer) for text in (right, wrong)] == [1, 0]


@pytest.mark.parametrize(
  "answer, right, wrong",
  [
    (
      "42",
      "<think>It is 41.</think> <answer>42</answer>",
      "<think>42.</think> <answer>41</answer>",
    ),
    (r"\sqrt{2}", r"so it is \sqrt{2}.", "2"),
    ("1", "it is 1", r"So it is 1 - \sqrt{2}."),
    ("42", "It is 42.", "40 or 41 or 42"),
    ("42", r"\boxed{42}", r"\boxed{41} or \boxed{42}"),
    ("42", r"\boxed{42}", r"\boxed{42, 43}"),
  ],
)
def test_what_is_judged_of_a_response(answer, right, wrong):
  assert [math_answer(text, answer) for text in (right, wrong)] == [1, 0]


@pytest.mark.parametrize("answer", ["101_2", r"0.\overline{3}", "", "$"])
def test_an_answer_that_is_read_in_part_is_an_error(answer):
  with pytest.raises(ValueError, match="of the answer|in the answer"):
    math_answer("1", answer)
