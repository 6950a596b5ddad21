"""The reward of a task: a weighted sum, its quick ones scored here and the others in workers."""

import collections
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tasks.rewards import EXACT, QUICK
from tasks.rewards.answers import ANSWERS
from tasks.rewards.function import Outcome, RewardFunction, place_of
from tasks.rewards.workers import Workers
from tasks.spelling import labels, parse

SECONDS = 10.0  # the time limit for a response, by default

VERIFIERS = ("numeric", "math")  # which read an answer in their own way
MOST_SLOW = 256  # answers that a slow one is asked about before training; later it says so, too
_PLAIN = re.compile(r"(?:.*####)?\s*-?\d[\d,]*(?:\.\d+)?\s*", re.DOTALL)
_SEVERAL = re.compile(r"\s*-?[\d.]+(?:\s+-?[\d.]+)+\s*")

Response = Mapping[str, Any]  # what there is to know of one, by the names of ARGUMENTS


class Reward:
  """The sum that `text` spells (spelling.py): "numeric + 0.2*format". Hashed by identity.

  A reward that cannot be had leaves the response unscored, and a line in `new_faults`: when the
  function raised, took longer than `seconds`, gave no number, or took its process down.
  """

  def __init__(
    self,
    text: str = "exact",
    seconds: float = SECONDS,
    quick: frozenset[str] = QUICK,
    *,
    skips_missing: bool = False,
  ):
    """`quick`: names of rewards that are scored in this process.

    `skips_missing`: a reward that says None of a response is left out of its sum; else the response
    is unscored. Where one fails it is unscored in any case.

    ValueError when the text cannot be read, or a reward is not there or cannot be called so.
    """
    self._terms, self._seconds, self._skips_missing = parse(text), seconds, skips_missing
    self.names = labels(self._terms)  # each once
    self.weights = np.array([term.weight for term in self._terms], np.float32)
    self._quick = {
      r: RewardFunction(term) for r, term in enumerate(self._terms) if term.name in quick
    }
    for term in self._terms:
      place_of(term.name)  # is there such a one?
    self.exact = next(
      (name for name, term in zip(self.names, self._terms, strict=True) if term.name in EXACT), ""
    )
    # Of those of our table each is 0 to 1; what one's own may give is not known.
    self.least = float(self.weights[self.weights < 0].sum())
    self._slow = [r for r in range(len(self._terms)) if r not in self._quick]
    self.failures: collections.Counter[str] = collections.Counter()  # by what went wrong
    self._new_faults: list[str] = []
    self._refused: dict[tuple, list[str]] = {}  # by the arguments of `refused`

  def open(self) -> None:
    """Starts a worker, if there will be any. ValueError when a function cannot be had there."""
    if self._slow:
      self._workers.open()

  def refused(
    self, answers: Sequence[str], *, is_compared: bool = True, quick_only: bool = False
  ) -> list[str]:
    """The known answers that a reward cannot read whole, so that a part of one would be paid.

    A line for each such reward. `is_compared`: an answer is what a response holds, and not, as in
    a demonstration of steps, what it is; so several numbers are not their last.
    """
    asked = (tuple(answers), is_compared, quick_only)
    if asked not in self._refused:  # by every run of a sweep
      self._refused[asked] = self._refusals(*asked)
    return self._refused[asked]

  def _refusals(self, answers: Sequence[str], is_compared: bool, quick_only: bool) -> list[str]:
    wrong = []
    for r, term in enumerate(self._terms):
      if term.name not in VERIFIERS or (quick_only and r in self._slow):
        continue
      asked = [answer for answer in dict.fromkeys(answers) if not _PLAIN.fullmatch(answer)]
      asked = asked[: len(asked) if r in self._quick else MOST_SLOW]
      faults = [fault for _, fault in self._outcomes(r, [_itself(answer) for answer in asked])]
      if term.name == "numeric" and is_compared:
        faults += [
          f": the answer {answer!r} has several numbers"
          for answer in asked
          if _SEVERAL.fullmatch(answer)
        ]
      if faults := [fault for fault in faults if fault]:
        first = faults[0].partition(": ")[2] or faults[0]
        wrong.append(f"{term.name} cannot tell {len(faults):,} of the answers: {first}")
    return wrong

  def each(self, responses: Sequence[Response]) -> np.ndarray:
    """float32 [N, R]: each reward of each response, not weighed; NaN: unscored."""
    scored = np.empty((len(responses), len(self._terms)), np.float32)
    failed = np.zeros(len(responses), bool)
    for r, function in self._quick.items():
      for i, response in enumerate(responses):
        outcome = function(response)
        scored[i, r], failed[i] = self._reward_of(r, response, outcome), failed[i] or outcome[1]
    jobs = [(j, i) for i in range(len(responses)) for j in range(len(self._slow))]
    if jobs:
      outcomes = self._workers.score([(j, responses[i]) for j, i in jobs])
      for (j, i), outcome in zip(jobs, outcomes, strict=True):
        scored[i, self._slow[j]] = self._reward_of(self._slow[j], responses[i], outcome)
        failed[i] = failed[i] or outcome[1]
    if self._skips_missing:
      scored[failed] = np.nan  # not only without the part that failed
    return scored

  def total(self, each: np.ndarray) -> np.ndarray:
    """The weighted sums [...] of rewards [..., R]; unscored where one that counts is.

    A reward of weight 0 is only looked at.
    """
    counts = self.weights != 0
    weighed = each[..., counts] * self.weights[counts]
    if not self._skips_missing:
      return weighed.sum(axis=-1)
    is_scored = ~np.isnan(weighed)
    total = np.where(is_scored, weighed, np.float32(0)).sum(axis=-1)
    return np.where(is_scored.any(axis=-1), total, np.float32(np.nan))

  def answer_of(self, name: str) -> Callable[[str], Hashable | None] | None:
    """How the reward of this name reads the answer of a response; None if answers cannot be
    compared by it."""
    return ANSWERS.get(self._terms[self.names.index(name)].name) if name else None

  def new_faults(self) -> list[str]:
    """Faults that came up for the first time since this was last asked, a line each."""
    faults, self._new_faults = self._new_faults, []
    return faults

  def _outcomes(self, r: int, responses: Sequence[Response]) -> list[Outcome]:
    if r in self._quick:
      return [self._quick[r](response) for response in responses]
    return self._workers.score([(self._slow.index(r), response) for response in responses])

  @cached_property
  def _workers(self) -> Workers:
    return Workers([self._terms[r] for r in self._slow], self._seconds)

  def _reward_of(self, r: int, response: Response, outcome: Outcome) -> float:
    """The outcome's reward; counts what went wrong."""
    reward, fault = outcome
    if fault:
      kind = f"reward {self.names[r]} {fault.partition(':')[0]}"
      self.failures[kind] += 1
      times = self.failures[kind]
      if times == 1:
        what = f"reward {self.names[r]} {fault}"
        self._new_faults.append(f"{what}. Unscored: {response['completion']!r:.80}")
      elif set(str(times)[1:]) == {"0"}:  # 10, 20 ... 100, 200 ...
        self._new_faults.append(f"{kind}, {times:,} times by now")
    return reward


def _itself(answer: str) -> Response:
  """A known answer as the response to its prompt."""
  return {"completion": answer, "prompt": "", "answer": answer, "entry": {}}
