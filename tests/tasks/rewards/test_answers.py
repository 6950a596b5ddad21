from fractions import Fraction

import pytest

from tasks.rewards.answers import exact_match, numeric_answer
from tasks.rewards.numbers import final_number


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
    "**Answer:** 1080",
    "**Answer**: 1080",
    "### Final Answer: **1080**",
    "The answer: $\\boxed{1080}$",
    "It is 1080. I hope this answer is helpful!",
    "#### 1080\n#### ",
    "It is 1080. The answer is below.",
    "A: 1{,}080",
    r"\boxed{1\,080}",
    "A: 1 080",
    "It is 1 080.",
    "A: 1\u202f080",
    "A: 1'080",
    "A: 1_080",
    "A: 1.080,00 €",
    "The answer is 3 * 360 = 1080.",
    "The answer is 1080 = 3 * 360.",
    "The answer is 1080 or 1,080.00.",
    "3 or 4 boxes? Three, so 1080.",
    "<think>It is 42.</think> 1080",
    "<think>#### 42</think>1080",
    "<think><answer>42</answer></think> <answer>1080</answer>",
    "It is 42.</think><answer>1080</answer>",
    "[THINK]42[/THINK]1080",
    "<answer>42</answer> No: <ANSWER>1080</ANSWER>",
    "A: 1.08e3",
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
    "1079 or 1080 or 1081",
    "either 1080 or 1081",
    "It is 1079 nails, or maybe 1080.",
    "A: 1080 or 1081",
    "A: 1080, 1081, 1082",
    "#### 1079/1080/1081",
    "A: 1080 and 1081",
    r"\boxed{1079} or \boxed{1080}",
    r"\boxed{1080, 1081}",
    "<think>1080</think> <answer>1081</answer>",
    "<think>#### 1080</think> It is 1081.",
    "<think>It is 1080.",
    "<think>It is 1080.</think>",
    "1080 <answer></answer>",
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
    (r"A: -\$3", -3),
    (r"A: \$-3", -3),
    ("A: -€3", -3),
    ("A: - 3", -3),
    ("- 3", -3),
    ("A: –3", -3),
    (r"\boxed{- 3}", -3),
    ("A: negative 3", -3),
    ("it is minus 3", -3),
    ("from 10 - 3", 3),
    ("from 10–3", 3),
    ("- 3 apples\n- 4 pears", 4),
    (r"\boxed{-\frac{3}{4}}", Fraction(-3, 4)),
    (r"2\frac{1}{2}", Fraction(5, 2)),
    (r"\dfrac34", Fraction(3, 4)),
    ("A: 2 1/2", Fraction(5, 2)),
    ("A: -2 1/2", Fraction(-5, 2)),
    ("15 6 9", 9),
    ("99 108 117", 117),
    ("A: 1 234 nails", 1234),
    ("1.080.000", 1080000),
    ("2**3", 3),
    ("A: 1e999", Fraction(10) ** 999),
    ("x_12", None),
  ],
)
def test_signs_points_and_commas(text, number):
  assert final_number(text) == number


def test_an_answer_without_a_number_is_an_error():
  with pytest.raises(ValueError, match="the answer 'a lot' has no number"):
    numeric_answer("1", "a lot")


@pytest.mark.parametrize(
  "answer",
  [
    *(r"1 - \sqrt{2}", r"2\pi", "(1, 2)", "[0, 1)", r"\{1, 2\}", "5!", "3+2i", "2x", "12:30"),
    *("10^5", r"1.5 \times 10^3", "1, 2", "1 and 2", "1 or 2", "x < 5", r"\frac{\pi}{4}", "1/0"),
    *(r"#### 1 - \sqrt{2}", "√2", "3 - x", r"\sqrt{2}", r"\frac{1}{x}", "5 ± 1", "Answer: 1 and 2"),
  ],
)
def test_an_answer_that_is_more_than_a_number_is_an_error(answer):
  with pytest.raises(ValueError, match="more than a number"):
    numeric_answer("1", answer)


@pytest.mark.parametrize(
  "answer, right, part",
  [
    (r"\frac{3}{4}", "0.75", "4"),
    (r"-\frac{3}{4}", "A: -3/4", "3"),
    (r"2\frac{1}{2}", "2.5", "2"),
    ("12 apples", "12", "2"),
    ("x = -5", "-5", "5"),
    ("50%", "50%", "5"),
    (r"30^\circ", "30", "0"),
    (r"\$1{,}080", "1080", "80"),
    (r"12 \text{ cm}", "12 cm", "2"),
    ("60 km/h", "60", "0"),
    (r"so $x = \boxed{12}$", "12", "2"),
    ("3 * 4 is 12, so Ana has 12", "12", "3"),
    ("15 6 9", "9", "15"),
  ],
)
def test_an_answer_is_its_whole_number(answer, right, part):
  assert [numeric_answer(text, answer) for text in (answer, right, part)] == [1, 1, 0]


HOSTILE = {
  "numbers joined": "1 or " * 6000,
  "numbers listed": "#### " + "1, 2, " * 5000,
  "spaces in a gap": "1" + " " * 16000 + "or" + " " * 16000 + "2",
  "spaces in a tag": "<" + " " * 32000,
  "tags": "<think>" * 4000 + "<answer>" * 4000,
  "boxes": "\\boxed{" * 4000,
  "marks": "answer is " * 3000,
  "stars": "*" * 32000,
  "digits": "1" * 32000,
  "thousands": "1 000" * 6000,
  "a sum": "#### " + "1+" * 10000 + "1=2",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_long_texts_are_answered_at_once(name):
  """`numeric` is called in the process that trains. Not linear, these would take minutes."""
  assert numeric_answer(HOSTILE[name], "7") == 0.0
