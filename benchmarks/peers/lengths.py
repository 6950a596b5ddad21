"""Lengths of real data, from which those of the works with real lengths are drawn.

Quantiles (0, 5, ... 100 %) of tokens, counted by SmolLM2's tokenizer, a response's end included:

  pandalm   888 pairs of human preferences, PandaLM's testset-v1
  gsm8k     the questions and solutions of GSM8K's training set

The peers' scripts import this from their environments: it needs nothing.
"""

import math
import random
from collections.abc import Sequence

PANDALM_PROMPTS = (
  *(4, 11, 15, 16, 17, 19, 20, 22, 26, 29, 33, 37, 46, 50, 56, 66, 83, 107, 149, 269, 395),
)
PANDALM_CHOSEN = (
  *(1, 5, 9, 12, 15, 19, 23, 25, 31, 38, 46, 52, 58, 67, 75, 89, 102, 123, 142, 197, 300),
)
PANDALM_REJECTED = (
  *(1, 1, 4, 5, 7, 9, 12, 13, 18, 21, 25, 30, 35, 45, 56, 66, 81, 99, 116, 148, 305),
)
GSM8K_QUESTIONS = (
  *(12, 33, 37, 39, 42, 45, 47, 49, 51, 54, 56, 59, 61, 65, 68, 71, 76, 82, 90, 101, 223),
)
GSM8K_MEAN_SOLUTION = 126  # tokens; the longest has 455
GSM8K_MAX = 1024  # tokens that a response may have


def drawn(quantiles: Sequence[int], count: int, seed: int) -> list[int]:
  """Lengths of this distribution, linear between its quantiles; at least 2 each."""
  rng, steps = random.Random(seed), len(quantiles) - 1

  def one() -> int:
    at = rng.random() * steps
    low = int(at)
    return round(quantiles[low] + (at - low) * (quantiles[low + 1] - quantiles[low]))

  return [max(2, one()) for _ in range(count)]


def ends(vocabulary: int) -> int:
  """How many of a vocabulary's tokens end a response, so that random ones have GSM8K's mean."""
  return max(1, round(vocabulary / GSM8K_MEAN_SOLUTION))


def bias(vocabulary: int) -> float:
  """What to add to the logit of a single end, so that it is drawn as often as so many."""
  return math.log(ends(vocabulary))
