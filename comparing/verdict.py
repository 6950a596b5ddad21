"""Who won: the variants in the order of their headline score, each against the best and the base.

A variant is level with the best, or clearly below it, by the tests over seeds (`leaders`). Where
there are too few seeds for one, by those over held-out prompts (`over_prompts`), which compare the
checkpoints at hand and not the algorithms. Where there is neither, the order is all there is.
"""

import dataclasses
from collections.abc import Sequence

from comparing import over_prompts, scores
from comparing.comparison import KL, Comparison, Variant, at_end
from comparing.leaders import BELOW, BEST, TIED, leaders
from comparing.over_prompts import PromptGap
from training.estimates import LEVEL, Estimate, estimate, holm, number

SEEDS, PROMPTS = "seeds", "prompts"
SIGNS = {BEST: "▲", TIED: "=", BELOW: "▼", "": ""}
_MOST = 6  # names in a sentence
_KEPT = 2 / 3  # of the best's gain, by a variant that is named for its small KL
_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}


@dataclasses.dataclass(frozen=True)
class Gain:
  """A difference from the base policy, and whether it is clear after its correction."""

  mean: float
  spread: str
  is_clear: bool
  over: str  # SEEDS or PROMPTS; "": not tested


@dataclasses.dataclass(frozen=True)
class Row:
  """A variant's place. `mark` is BEST, TIED, BELOW or "" (not tested), over seeds or prompts."""

  rank: int
  variant: Variant
  score: Estimate
  interval: tuple[float, float] | None  # of the score: over seeds, or else over prompts
  spread: str  # half of it, "± 0.013"
  gain: Gain | None
  kl: float | None
  mark: str
  over: str

  @property
  def sign(self) -> str:
    return SIGNS[self.mark]


@dataclasses.dataclass(frozen=True)
class Verdict:
  """`metric` is the headline score; `rows` are in its order, without variants that have none."""

  metric: str
  title: str
  base: float | None
  rows: tuple[Row, ...]
  prompts: int  # that tests over prompts are over; 0: there are none

  @property
  def by_name(self) -> dict[str, Row]:
    return {row.variant.name: row for row in self.rows}

  def over(self, kind: str) -> bool:
    """Whether any test here is over SEEDS, or over PROMPTS."""
    return any(kind in (row.over, row.gain.over if row.gain else "") for row in self.rows)


def verdict(result: Comparison) -> Verdict | None:
  """Returns who won; None if no finished run has a score, or there is none that two share."""
  metric = next(iter(scores.primary(result)), "")
  if not metric or result.nothing_shared:
    return None
  scored = [(v, found) for v in result.variants if (found := v.final(metric))]
  scored.sort(key=lambda item: -item[1].mean)
  marks, prompts = _marks(result, metric, scored[0][0])
  gains, prompts_of_gains = _gains(result, metric)
  rows = []
  for rank, (variant, score) in enumerate(scored, start=1):
    mark, over = marks.get(variant.name, ("", ""))
    interval, spread = _interval(variant, metric, score)
    kl = variant.final(KL)
    gain = gains.get(variant.name)
    row = Row(rank, variant, score, interval, spread, gain, kl.mean if kl else None, mark, over)
    rows.append(row)
  return Verdict(
    metric, scores.title(metric), result.base(metric), tuple(rows), prompts or prompts_of_gains
  )


def sentences(found: Verdict) -> list[str]:
  """Returns who is best, level with it and below it; and who gains over the base policy."""
  best, *others = found.rows
  parts = [f"Best: {best.variant.name} ({number(best.score.mean)}{_spaced(best.spread)})"]
  told = ((BEST, "best by the seeds"), (TIED, "level with it"), (BELOW, "clearly below"))
  for mark, words in told:
    if named := [row.variant.name for row in others if row.mark == mark]:
      parts.append(f"{words}: {_names(named)}")
  if untested := [row.variant.name for row in others if not row.mark]:
    parts.append(f"ranked below without a test: {_names(untested)}")
  if cheap := _at_less_kl(found):
    parts.append(cheap)
  return ["; ".join(parts) + ".", *_gain_sentence(found)]


def _gain_sentence(found: Verdict) -> list[str]:
  gains = [(row.variant.name, row.gain) for row in found.rows if row.gain and row.gain.over]
  if not gains:
    return []
  origin = "the base policy" + ("" if found.base is None else f" ({number(found.base)})")
  up = [name for name, gain in gains if gain.is_clear and gain.mean > 0]
  down = [name for name, gain in gains if gain.is_clear and gain.mean < 0]
  if len(up) == len(gains) > 1:
    text = f"All {len(gains)} gain clearly over {origin}"
  elif up:
    text = f"Clear gains over {origin}: {_names(up)}"
  else:
    text = f"No variant gains clearly over {origin}"
  return [text + (f"; clearly below it: {_names(down)}" if down else "") + "."]


def _at_less_kl(found: Verdict) -> str:
  """Names the variant that keeps most of the best's gain at half of its KL or less, if any."""
  best, *others = found.rows
  floor = found.base if found.base is not None else 0.0
  if not best.kl or best.kl <= 0 or best.score.mean <= floor:
    return ""
  enough = floor + _KEPT * (best.score.mean - floor)
  near = [(row.kl, row) for row in others if row.kl and row.kl > 0 and row.score.mean >= enough]
  if not near:
    return ""
  kl, row = min(near, key=lambda item: item[0])
  parts = round(best.kl / kl)
  if best.kl < 1.8 * kl:
    return ""
  share = _FRACTIONS.get(parts, f"1/{parts}")
  return f"{row.variant.name} reaches {number(row.score.mean)} at {share} of the best’s KL"


def _marks(
  result: Comparison, metric: str, first: Variant
) -> tuple[dict[str, tuple[str, str]], int]:
  """Returns variant -> (mark, over), and the number of prompts where some are over prompts."""
  by_seeds = leaders(result, at_end(metric))
  if by_seeds.get(first.name) != BEST:  # the first has too few seeds to be tested against
    gaps = over_prompts.of_pairs(result, metric)
    against = {b: gap for (a, b), gap in gaps.items() if a == first.name}
    if against:
      marks = {name: (_mark(gap), PROMPTS) for name, gap in against.items()}
      return {first.name: (BEST, PROMPTS)} | marks, _count(against)
    return {name: (mark, SEEDS) for name, mark in by_seeds.items()}, 0
  marks = {name: (mark, SEEDS) for name, mark in by_seeds.items()}
  if all(v.name in marks for v in result.variants if v.final(metric)):
    return marks, 0
  gaps = over_prompts.of_pairs(result, metric)
  against = {b: gap for (a, b), gap in gaps.items() if a == first.name and b not in marks}
  return marks | {name: (_mark(gap), PROMPTS) for name, gap in against.items()}, _count(against)


def _mark(gap: PromptGap) -> str:
  return BELOW if gap.is_clear and gap.mean > 0 else TIED


def _count(gaps: dict[str, PromptGap]) -> int:
  return next((gap.n for gap in gaps.values()), 0)


def over_seeds_gains(result: Comparison, metric: str) -> dict[str, Gain]:
  """Returns each variant's gain over the base policy, clear or not, by Holm over the variants."""
  gains = {v.name: gain for v in result.variants if (gain := v.gain(metric))}
  p_values = holm([gain.p for gain in gains.values()])
  return {
    name: Gain(gain.mean, gain.spread, p is not None and p < LEVEL, "" if gain.untested else SEEDS)
    for (name, gain), p in zip(gains.items(), p_values, strict=True)
  }


def _gains(result: Comparison, metric: str) -> tuple[dict[str, Gain], int]:
  """Returns each variant's gain, over seeds where they test it, else over so many prompts."""
  found = over_seeds_gains(result, metric)
  if all(gain.over for gain in found.values()):
    return found, 0
  by_prompt = over_prompts.of_gains(result, metric)
  for name, gap in by_prompt.items():
    if not found[name].over:
      spread = f"{number(gap.low)} to {number(gap.high)}"
      found[name] = Gain(gap.mean, spread, gap.is_clear, PROMPTS)
  return found, _count(by_prompt)


def _interval(
  variant: Variant, metric: str, score: Estimate
) -> tuple[tuple[float, float] | None, str]:
  """Returns the score's interval and half of it: over seeds, or over prompts if those are few."""
  if score.half_width is None:
    values = over_prompts.rewards(variant, metric)
    known = values[values == values] if values is not None else []
    spread = estimate(known) if len(known) >= over_prompts.FEWEST else None
    if spread is None or spread.half_width is None:
      return None, score.spread
    score = dataclasses.replace(spread, mean=score.mean)
  return (score.low, score.high), score.spread


def _spaced(spread: str) -> str:
  return f" {spread}" if spread.startswith("±") else f", {spread}"


def _names(names: Sequence[str]) -> str:
  if len(names) > _MOST:
    return f"{len(names)} variants"
  return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
