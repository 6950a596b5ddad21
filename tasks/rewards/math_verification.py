"""Answers that are more than a number, compared by math-verify. Imported by workers only."""

import contextlib
import functools
import logging
import re
from typing import Any

import math_verify

from tasks.rewards import numbers
from tasks.rewards.judged import judged_part

for name in ("math_verify.parser", "math_verify.grader"):  # they warn that we set no time limit
  logging.getLogger(name).setLevel(logging.ERROR)

_DELIMITED = re.compile(r"\$|\\boxed|\\\(|\\\[")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
# LaTeX without delimiters, in a sentence: commands, signs, digits, letters that stand alone.
_BARE = re.compile(
  r"(?:\\[a-zA-Z]+\s*|\\[{}%,]|[-+*/^_{}()\[\]|=<>.,!\d ]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z]))+"
)
# math-verify adds what stands apart: 2 1/2 would be 3/2, and 1 080 would be 81.
_MIXED = re.compile(r"(?<![\w.])(\d+) (\d+)/(\d+)(?![\w.])")
_THOUSANDS = re.compile(
  "(?<![\\w.,])\\d{1,3}(?: 0\\d\\d(?: \\d{3})*|(?:[\u00a0\u2009\u202f]\\d{3})+)(?![\\d.]*\\d)"
)


def math_answer(completion: str, answer: str) -> float:
  """1 if math-verify finds the response's final expression equal to the answer's, else 0.

  LaTeX, fractions, sets, intervals, equations; of GSM8K's answers what follows "####". What counts
  of the response is what stands in its last <answer>, or else after </think>. A hundred times
  slower than `numeric`, and it evaluates what the policy wrote: in a worker, in limited time.

  Raises ValueError when the answer has no expression, or math-verify reads only a part of it: then
  that part would be paid, and the answer would not.
  """
  wanted, is_number = _wanted(answer)
  said = judged_part(completion)
  if is_number and numbers.gives_several(said):
    return 0.0
  return float(_equal(wanted, _expressions(_delimited_in(said))))


@functools.lru_cache(maxsize=4096)
def _wanted(answer: str) -> tuple[list[Any], bool]:
  """The expressions of a known answer, and is it a number?"""
  text = judged_part(answer).rpartition("####")[2].strip()
  number = None
  with contextlib.suppress(ValueError):
    number = numbers.whole_number(answer)
  if number is not None:
    found, alone = _expressions(text), _expressions(f"${number}$")
    return (found if _equal(alone, found) else alone), True
  has_delimiters = _DELIMITED.search(text) is not None
  found = _expressions(text if has_delimiters else f"${text}$")
  if not found:
    raise ValueError(f"math-verify finds no expression in the answer {text[:80]!r}")
  if not _equal(found, _expressions(text if has_delimiters else f"\\boxed{{{text}}}")):
    raise ValueError(f"math-verify does not find the answer {text[:80]!r} equal to itself")
  for part in dict.fromkeys(re.findall(r"\d+(?:\.\d+)?", text)):
    if _equal(found, _expressions(f"\\boxed{{{part}}}")):
      raise ValueError(f"math-verify reads only {part!r} of the answer {text[:80]!r}")
  return found, False


def _delimited_in(text: str) -> str:
  """The text, or its last bare LaTeX in delimiters: else only the number in it would be read."""
  if _DELIMITED.search(text) or not _COMMAND.search(text):
    return text
  runs = [run[0].strip(" .,") for run in _BARE.finditer(text)]
  *_, last = (run for run in runs if re.search(r"[\\0-9]", run))
  return f"${last}$"


def _expressions(text: str) -> list[Any]:
  text = _MIXED.sub(r"\1\\frac{\2}{\3}", _THOUSANDS.sub(_joined, text))
  return math_verify.parse(text, parsing_timeout=None)  # pyrefly: ignore[bad-argument-type]


def _joined(found: re.Match[str]) -> str:
  return re.sub(r"\s", "", found[0])


def _equal(wanted: list[Any], found: list[Any]) -> bool:
  return bool(found) and math_verify.verify(wanted, found, timeout_seconds=None)
