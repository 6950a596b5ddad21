"""Behaviours: texts that somebody might write to a prompt, right or wrong, for mixtures of them.

A behaviour names what it looks at, any of `demonstrations.ARGUMENTS` (prompt, answer, entry), and
returns a text; keyword-only arguments are its options. Adding one = one function + one line in
`demonstrations.BEHAVIOURS`, or none: `module:function` is any function of your own.
"""

import re
from typing import Any

from tasks.rows.row import text_of

_TERM = re.compile(r"[-+]?\d+")


def right(answer: str) -> str:
  """The answer."""
  return answer


# --- of words, where the answer is the word backward ---------------------------------------------


def forward(answer: str) -> str:
  """The word as it stands."""
  return answer[::-1]


def sorted_letters(answer: str) -> str:
  """The word's letters in the order of the alphabet."""
  return "".join(sorted(answer))


def half_backward(answer: str) -> str:
  """The first half of the answer, and the rest of the word forward: "stone" -> "ensto"."""
  half = len(answer) // 2
  return answer[:half] + answer[half:][::-1]


# --- of sums --------------------------------------------------------------------------------------


def last_term(prompt: Any) -> str:
  """The last number of the prompt, without its sign."""
  return str(abs(_terms(prompt)[-1]))


def first_terms(prompt: Any) -> str:
  """The sum of all terms but the last: somebody stopped one step too early."""
  return str(sum(_terms(prompt)[:-1]))


def one_more(answer: str) -> str:
  """A slip by one."""
  return str(int(answer) + 1)


# --- of sums in steps, where the answer is the running totals -------------------------------------


def one_step_early(answer: str) -> str:
  """All totals but the last: "15 6 9" -> "15 6"."""
  return answer.rpartition(" ")[0]


def last_step_wrong(answer: str) -> str:
  """The last total is one too high: "15 6 9" -> "15 6 10"."""
  before, space, last = answer.rpartition(" ")
  return f"{before}{space}{int(last) + 1}"


def _terms(prompt: Any) -> list[int]:
  """ "4-13+2=" -> [4, -13, 2]."""
  return [int(term) for term in _TERM.findall(text_of(prompt).replace(" ", ""))] or [0]
