"""Threshold, weights and sign beside the scores of a data set, whose scale only it knows."""

from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

BALANCED = 2.0  # w_d n_d and w_u n_u may differ by this factor before it is said


def problems(config: ConfigDict, rewards: np.ndarray) -> Iterator[str]:
  """Scores all on one side of a threshold: KTO learns from both; or below 0, for MaxRL."""
  loss, scores = config.algorithm.loss, rewards[np.isfinite(rewards)]
  if loss == "maxrl" and (scores < 0).any():
    yield (
      f"maxrl divides by a prompt's mean reward, so no score may be negative; {scores.min():g} is"
    )
  if loss != "kto":
    return
  threshold = config.algorithm.threshold
  above = int((scores > threshold).sum())
  if not len(scores) or 0 < above < len(scores):
    return
  where, what = ("above", "undesirable") if above else ("at or below", "desirable")
  all_of_them = f"algorithm.threshold={threshold:g}: all {len(scores):,} scores are {where} it, "
  if (value := _splitting(scores)) is None:
    yield f"{all_of_them}and all are {scores[0]:g}: nothing tells desirable responses apart"
    return
  more = int((scores > value).sum())
  yield (
    f"{all_of_them}so that no response is {what}; --config.algorithm.threshold={value:g} splits "
    f"them, {more:,} above and {len(scores) - more:,} below"
  )


def describe(config: ConfigDict, rewards: np.ndarray) -> list[str]:
  """A line on how many responses are desirable, and on weights that leave them out of balance."""
  if config.algorithm.loss != "kto":
    return []
  options, scores = config.algorithm, rewards[np.isfinite(rewards)]
  above = int((scores > options.threshold).sum())
  below = len(scores) - above
  line = f"{above:,} desirable responses (score above {options.threshold:g}), {below:,} undesirable"
  weights = options.desirable_weight * above, options.undesirable_weight * below
  if 0 < min(weights) and max(weights) > BALANCED * min(weights):
    balancing = options.undesirable_weight * below / above
    line += (
      f"; algorithm.desirable_weight={options.desirable_weight:g} makes the one side count "
      f"{max(weights) / min(weights):.1f} times the other, {balancing:.2g} would make them equal"
    )
  return [line]


def _splitting(scores: np.ndarray) -> float | None:
  """The value between two scores that splits them most evenly; None if all are one."""
  values, counts = np.unique(scores, return_counts=True)
  if len(values) < 2:
    return None
  at = int(np.abs(np.cumsum(counts)[:-1] - len(scores) / 2).argmin())
  return float(values[at] + values[at + 1]) / 2
