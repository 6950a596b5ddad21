"""Answers that are more than a number, compared by math-verify. Imported by workers only."""

import functools
import logging
from typing import Any

from math_verify import parse, verify

for name in ("math_verify.parser", "math_verify.grader"):  # they warn that we set no time limit
  logging.getLogger(name).setLevel(logging.ERROR)


def math_answer(completion: str, answer: str) -> float:
  """1 if math-verify finds the response's final expression equal to the answer's, else 0.

  LaTeX, fractions, sets, intervals, equations; of GSM8K's answers what follows "####". A hundred
  times slower than `numeric`, and it evaluates what the policy wrote: in a worker, in limited time.

  Raises ValueError when the answer has no expression.
  """
  found = parse(completion, parsing_timeout=None)  # pyrefly: ignore[bad-argument-type]
  return float(verify(_parsed_answer(answer), found, timeout_seconds=None))


@functools.lru_cache(maxsize=4096)
def _parsed_answer(answer: str) -> list[Any]:
  text = answer.rpartition("####")[2].strip()
  found = parse(text, parsing_timeout=None)  # pyrefly: ignore[bad-argument-type]
  if not found:
    raise ValueError(f"math-verify finds no expression in the answer {answer[:80]!r}")
  return found
