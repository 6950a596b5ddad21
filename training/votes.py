"""Several samples of a prompt together: the chance that one of k is right, and what most say."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

FEWEST = 3  # samples that can vote: of two that differ neither has more


def tries(n: int) -> list[int]:
  """The k of which pass@k is told: 1, 2, 4, ... and n."""
  return sorted({*(2**i for i in range(n.bit_length())), n})


def pass_at_k(right: Bool[np.ndarray, "N n"], k: int) -> Float[np.ndarray, " N"]:
  """The chance that one of k samples is right, from n >= k samples of which c are.

  1 - C(n-c, k) / C(n, k), the unbiased estimate (Chen et al., 2021, eq. 1).
  """
  n = right.shape[1]
  wrong = n - right.sum(axis=1)
  all_wrong = np.ones(len(right))
  for i in range(k):
    all_wrong *= np.maximum(wrong - i, 0) / (n - i)
  return 1 - all_wrong


def answer_numbers(
  texts: Sequence[Sequence[str]],
  counts: Bool[np.ndarray, "N n"],
  answer_of: Callable[[str], Hashable | None],
) -> Int[np.ndarray, "N n"]:
  """Numbers the different answers of each prompt's samples: equal ones share a number.

  -1 is none: `counts` is False (the response never ended), or `answer_of` finds none in it.
  """
  numbers = np.full(counts.shape, -1)
  for row, said, counted in zip(numbers, texts, counts, strict=True):
    known: dict[Hashable, int] = {}
    for i in np.flatnonzero(counted).tolist():
      if (answer := answer_of(said[i])) is not None:
        row[i] = known.setdefault(answer, len(known))
  return numbers


def majority(
  answers: Int[np.ndarray, "N n"], right: Bool[np.ndarray, "N n"]
) -> Float[np.ndarray, " N"]:
  """Whether the most frequent answer is right, from 0 to 1 (self-consistency: Wang et al., 2022).

  Of several answers that are equally frequent it is the share of them that are right. A prompt
  whose samples all have no answer (-1) gets 0.
  """
  same = (answers[:, :, None] == answers[:, None, :]) & (answers >= 0)[:, None, :]
  votes = same.sum(axis=2)
  # Each of an answer's samples has its number of votes; so all of the leaders weigh the same.
  leads = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
  return (leads & right).sum(axis=1) / np.maximum(leads.sum(axis=1), 1)
