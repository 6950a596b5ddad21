"""The reward of a task: a weighted sum, its quick ones scored here and the others in workers."""

import collections
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tasks.rewards import QUICK
from tasks.rewards.function import Outcome, RewardFunction, place_of
from tasks.rewards.workers import Workers
from tasks.spelling import labels, parse

SECONDS = 10.0  # the time limit for a response, by default

Response = Mapping[str, Any]  # what there is to know of one, by the names of ARGUMENTS


class Reward:
  """The sum that `text` spells (spelling.py): "numeric + 0.2*format". Hashed by identity.

  A reward that cannot be had leaves the response unscored, and a line in `new_faults`: when the
  function raised, took longer than `seconds`, gave no number, or took its process down.
  """

  def __init__(self, text: str = "exact", seconds: float = SECONDS, quick: frozenset[str] = QUICK):
    """`quick`: names of rewards that are scored in this process.

    ValueError when the text cannot be read, or a reward is not there or cannot be called so.
    """
    self._terms, self._seconds = parse(text), seconds
    self.names = labels(self._terms)  # each once
    self.weights = np.array([term.weight for term in self._terms], np.float32)
    self._quick = {
      r: RewardFunction(term) for r, term in enumerate(self._terms) if term.name in quick
    }
    for term in self._terms:
      place_of(term.name)  # is there such a one?
    self._slow = [r for r in range(len(self._terms)) if r not in self._quick]
    self.failures: collections.Counter[str] = collections.Counter()  # by what went wrong
    self._new_faults: list[str] = []

  def open(self) -> None:
    """Starts a worker, if there will be any. ValueError when a function cannot be had there."""
    if self._slow:
      self._workers.open()

  def each(self, responses: Sequence[Response]) -> np.ndarray:
    """float32 [N, R]: each reward of each response, not weighed; NaN: unscored."""
    scored = np.empty((len(responses), len(self._terms)), np.float32)
    for r, function in self._quick.items():
      for i, response in enumerate(responses):
        scored[i, r] = self._reward_of(r, response, function(response))
    jobs = [(j, i) for i in range(len(responses)) for j in range(len(self._slow))]
    if jobs:
      outcomes = self._workers.score([(j, responses[i]) for j, i in jobs])
      for (j, i), outcome in zip(jobs, outcomes, strict=True):
        scored[i, self._slow[j]] = self._reward_of(self._slow[j], responses[i], outcome)
    return scored

  def total(self, each: np.ndarray) -> np.ndarray:
    """The weighted sums [...] of rewards [..., R]; unscored where one that counts is.

    A reward of weight 0 is only looked at.
    """
    counts = self.weights != 0
    return (each[..., counts] * self.weights[counts]).sum(axis=-1)

  def new_faults(self) -> list[str]:
    """Faults that came up for the first time since this was last asked, a line each."""
    faults, self._new_faults = self._new_faults, []
    return faults

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
