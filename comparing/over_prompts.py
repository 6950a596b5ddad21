"""Gaps between checkpoints, over the held-out prompts that all of them answered.

Where there are too few seeds for a test over seeds, the prompts still tell whether one checkpoint
is better than another: each answered the same ones. That says nothing of the algorithms that made
them, as another seed would make another checkpoint; whoever shows such a gap has to say so.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from comparing.comparison import REWARD, SAMPLED, Comparison, Variant
from comparing.runs import Run
from training.estimates import LEVEL, number

FEWEST = 30  # prompts: of fewer, resampling is surer of itself than it should be
RESAMPLES = 5_000  # of which 250 are the 5 % of a p-value
_CHUNK = 1_000  # resamples made at once
_KEPT = 1_024  # prompts up to which all resamples are kept for the next gaps: 40 MB
_KINDS = {REWARD: "greedy", SAMPLED: "sampled"}

Rewards = Float[np.ndarray, " N"]


@dataclasses.dataclass(frozen=True)
class PromptGap:
  """A mean difference over n prompts, the 95 % bootstrap interval of it alone, and its p-value.

  The p-value is corrected for all the gaps that were asked for together.
  """

  mean: float
  low: float
  high: float
  p: float
  n: int

  @property
  def is_clear(self) -> bool:
    return self.p < LEVEL

  def __str__(self) -> str:
    """ "+0.210 (0.180 to 0.240)"."""
    sign = "+" if self.mean > 0 else ""
    return f"{sign}{number(self.mean)} ({number(self.low)} to {number(self.high)})"


def rewards(variant: Variant, metric: str, *, at_start: bool = False) -> Rewards | None:
  """The mean reward of each prompt over the variant's finished runs, at their end or at step 0.

  NaN for a prompt that a run has no reward of. None if a run did not keep its rewards by prompt, or
  the runs were not evaluated on the same prompts.
  """
  found = [_of_run(run, metric, at_start) for run in variant.finished]
  known = [row for row in found if row is not None]
  if not known or len(known) < len(found) or len({len(row) for row in known}) > 1:
    return None
  return np.mean(np.array(known), axis=0)


def of_gains(result: Comparison, metric: str) -> dict[str, PromptGap]:
  """Variant -> its gain over the base policy, where each of its runs kept both its ends."""
  found = {}
  for variant in result.variants:
    end, start = rewards(variant, metric), rewards(variant, metric, at_start=True)
    if end is not None and start is not None and len(end) == len(start):
      found[variant.name] = end - start
  return _tested(found) if len(set(map(len, found.values()))) == 1 else {}


def of_pairs(result: Comparison, metric: str) -> dict[tuple[str, str], PromptGap]:
  """(a, b) -> a minus b for all pairs of variants, both ways, of those that can be compared.

  All pairs, because it is the data that choose which variant the others are compared with.
  """
  scored = {v.name: found for v in result.variants if (found := rewards(v, metric)) is not None}
  tasks = {
    repr(run.config.get("task")) for v in result.variants if v.name in scored for run in v.finished
  }
  if len(tasks) > 1 or len({len(found) for found in scored.values()}) > 1:
    return {}  # they answered other prompts
  pairs = itertools.combinations(scored, 2)
  made = _tested({(a, b): scored[a] - scored[b] for a, b in pairs})
  return made | {(b, a): _turned(gap) for (a, b), gap in made.items()}


def gaps(differences: Sequence[Rewards]) -> list[PromptGap]:
  """Tests these mean differences together, by a bootstrap over prompts: [] of too few prompts.

  Prompts are drawn again with replacement, the same ones for all. The p-value of a difference d_j
  with standard error s_j is the share of resamples in which any difference is as far from its mean,
  max_k |d*_k - d_k| / s*_k >= |d_j| / s_j: were no difference real, at most 5 % of families would
  hold a p below 0.05, however the differences depend on each other (Westfall and Young, 1993). The
  resample's own standard error s*_k is what makes this right for few prompts, too.
  """
  if not differences:
    return []
  values = np.array(differences, dtype=float).T  # [N, J]
  values = values[np.isfinite(values).all(axis=1)]
  n = len(values)
  if n < FEWEST:
    return []
  means = values.mean(axis=0)
  centred = values - means
  resampled = np.concatenate([counts @ centred / n for counts in _resamples(n)])  # [R, J]
  squares = np.concatenate([counts @ centred**2 / n for counts in _resamples(n)])
  largest = (np.abs(resampled) / _error(squares - resampled**2, n)).max(axis=1)
  reached = (largest[:, None] >= np.abs(means) / _error(centred.var(axis=0), n)).sum(axis=0)
  low, high = means + np.quantile(resampled, [0.025, 0.975], axis=0)
  p_values = np.where(means == 0, 1.0, (1 + reached) / (1 + RESAMPLES))
  made = zip(means, low, high, p_values, strict=True)
  return [PromptGap(float(m), float(a), float(b), float(p), n) for m, a, b, p in made]


def _tested(differences: Mapping[Any, Rewards]) -> dict[Any, PromptGap]:
  made = gaps(list(differences.values()))
  return dict(zip(differences, made, strict=bool(made)))


def _error(variance: Float[np.ndarray, "... J"], n: int) -> Float[np.ndarray, "... J"]:
  """The standard error of a mean over n prompts; next to none where all of them are alike."""
  return np.maximum(np.sqrt(np.maximum(variance, 0.0) / (n - 1)), 1e-12)


def _resamples(n: int) -> Iterable[Float[np.ndarray, "r n"]]:
  """How often each of n prompts is drawn, in each of RESAMPLES: the same for the same n."""
  return _kept(n) if n <= _KEPT else _drawn(n)


@functools.lru_cache(maxsize=1)
def _kept(n: int) -> list[Float[np.ndarray, "r n"]]:
  return list(_drawn(n))


def _drawn(n: int) -> Iterator[Float[np.ndarray, "r n"]]:
  draw = np.random.default_rng(0)
  for _ in range(RESAMPLES // _CHUNK):
    drawn = draw.integers(0, n, size=(_CHUNK, n)) + n * np.arange(_CHUNK)[:, None]
    yield np.bincount(drawn.ravel(), minlength=_CHUNK * n).reshape(_CHUNK, n).astype(float)


def _turned(gap: PromptGap) -> PromptGap:
  return dataclasses.replace(gap, mean=-gap.mean, low=-gap.high, high=-gap.low)


def _of_run(run: Run, metric: str, at_start: bool) -> Rewards | None:
  rows = run.prompts
  if metric not in _KINDS or not rows or (at_start and rows[0]["step"] != 0):
    return None
  return np.array(rows[0 if at_start else -1][_KINDS[metric]], dtype=float)  # None becomes NaN
