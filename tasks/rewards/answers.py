"""Rewards that compare with the known answer: 1 for a right response, else 0."""

import functools
from collections.abc import Callable, Hashable

from tasks.rewards import numbers


def exact_match(completion: str, answer: str) -> float:
  """1 for the answer to the letter, else 0. No partial credit, no case folding, no stripping."""
  return float(completion == answer)


def numeric_answer(completion: str, answer: str) -> float:
  """1 for a response whose final number is that of the answer, else 0.

  What counts of the response is what stands in its last <answer>, or else after </think>. The final
  number is the first after the last of "####", "A:", "Answer:", "answer is" and \\boxed{ that has
  one, or without any of these the last of the text. Several numbers ("40 or 41") are no answer.
  Commas, currencies and a full stop behind it do not matter; 18, 18.0 and 36/2 are one number.
  Exact arithmetic, no rounding.

  Raises ValueError when the answer has no number, or is more than one: a part of it would be paid.
  """
  return float(numbers.final_number(completion) == _wanted(answer))


_wanted = functools.lru_cache(maxsize=65536)(numbers.whole_number)

# How the answer of a response is read, where two can be compared without the known one: of `math`
# and `scorer` only their own libraries could say whether two answers are the same.
ANSWERS: dict[str, Callable[[str], Hashable | None]] = {
  "exact": str.strip,
  "numeric": numbers.final_number,
}
