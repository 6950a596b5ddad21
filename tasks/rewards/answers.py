"""Rewards that compare with the known answer: 1 for a right response, else 0."""

import re
from fractions import Fraction

# Marks before an answer, of which the last counts. "####" is GSM8K's, "A:" its models'.
_MARK = re.compile(
  r"####|^(?:A|Answer):|\\boxed\{|<answer>|answer is", re.MULTILINE | re.IGNORECASE
)
# -3  $1,080  $-2.50  .5  3/4; not the second half of 1.2.3, x7 or 2-3.
_NUMBER = re.compile(
  r"(?<![\w.])(?P<sign>[-−]?)\$?(?P<minus>[-−]?)"
  r"(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?P<divisor>/\d+)?"
)
_MOST_CHARACTERS = 100  # of a number


def exact_match(completion: str, answer: str) -> float:
  """1 for the answer to the letter, else 0. No partial credit, no case folding, no stripping."""
  return float(completion == answer)


def numeric_answer(completion: str, answer: str) -> float:
  """1 for a response whose final number is that of the answer, else 0.

  The final number is the first after the last "####", "A:", "Answer:", "answer is", <answer> or
  \\boxed{, or without any of these the last of the text. Commas, "$" and a full stop behind it do
  not matter; 18, 18.0 and 36/2 are one number. Exact arithmetic, no rounding.

  Raises ValueError when the answer has no number.
  """
  wanted = final_number(answer)
  if wanted is None:
    raise ValueError(f"the answer {answer[:80]!r} has no number")
  return float(final_number(completion) == wanted)


def final_number(text: str) -> Fraction | None:
  """The number that a solution ends in (see `numeric_answer`); None if there is none."""
  marks = list(_MARK.finditer(text))
  if marks:
    found = _NUMBER.search(text, marks[-1].end())
  else:
    *_, found = (None, *_NUMBER.finditer(text))
  if found is None or len(found[0]) > _MOST_CHARACTERS:
    return None
  digits = found["number"].replace(",", "") + (found["divisor"] or "")
  whole, _, divisor = digits.partition("/")
  if divisor and not int(divisor):
    return None
  value = Fraction(whole) / int(divisor or 1)
  return -value if found["sign"] or found["minus"] else value
