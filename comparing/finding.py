"""The finding of a comparison in sentences, computed from its numbers, with no claim beyond them.

A difference is claimed if its p-value is below 0.05 after correction (Holm) for the number of
differences that are told together; "level with" means that no difference was found. The ± beside a
difference is its own interval, not corrected. Of fewer than three seeds the held-out prompts are
asked instead (`over_prompts`), and the sentence says that it is about these checkpoints.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from comparing import over_prompts, scores
from comparing.comparison import REWARD, Comparison, Variant, at_end
from comparing.over_prompts import PromptGap
from training.estimates import LEVEL, Estimate, holm, number

_GROUPING = ("group_size", "batch_prompts", "micro_batches")  # fields of how rollouts are grouped
_SAME = 0.01  # budgets that differ by at most this share count as equal

Item = tuple[Variant, Estimate | PromptGap]


def sentences(result: Comparison) -> list[str]:
  """Returns the sentences, in this order.

  Each variant against the base policy, and against the baseline; large groups against small ones;
  unequal budgets; runs that are missing.
  """
  if not result.finished:
    return ["No run has finished yet, so there is nothing to conclude."]
  if result.nothing_shared:
    return [result.nothing_shared]
  metrics = scores.primary(result)
  if not metrics:
    return ["No finished run was evaluated on held-out prompts, so there is nothing to conclude."]
  found = []
  for metric in metrics:
    told = [*_against_base(result, metric), *_against_baseline(result, metric)]
    is_second = metric == REWARD and len(metrics) > 1
    found += [f"Greedy. {text}" if is_second else text for text in told]
  return [*found, *_group_sizes(result, metrics[0]), *_budgets(result), *_missing(result)]


def _against_base(result: Comparison, metric: str) -> list[str]:
  gains = [(v, gain) for v in result.variants if (gain := v.gain(metric))]
  if not gains:
    return ["The base policy was not evaluated, so no gain can be told."]
  base = result.base(metric)
  origin = "the base policy" + (f" ({number(base)})" if base is not None else "")
  lacking = _names([v for v in result.variants if v.final(metric) and not v.gain(metric)])
  missing = f"no gain can be told of {lacking}: no evaluation at step 0" if lacking else ""
  few = any(gain.half_width is None for _, gain in gains)
  over = over_prompts.of_gains(result, metric) if few else {}
  return _told("", gains, over, f"{origin} in {scores.phrase(metric)}", missing)


def _against_baseline(result: Comparison, metric: str) -> list[str]:
  name, scored = result.baseline.name, [v for v in result.others if v.final(metric)]
  gaps = [(v, gap) for v in scored if (gap := v.minus(result.baseline, at_end(metric)))]
  over = {}
  if len(gaps) < len(scored) or any(gap.half_width is None for _, gap in gaps):
    pairs = over_prompts.of_pairs(result, metric)
    over = {a: gap for (a, b), gap in pairs.items() if b == name}
  paired = {v for v, _ in gaps}
  gaps += [(v, over[v.name]) for v in scored if v not in paired and v.name in over]
  lacking = _names([v for v in scored if v not in paired and v.name not in over])
  missing = f"no seed of {lacking} can be paired with one of {name}" if lacking else ""
  origin = f"{name} in {scores.phrase(metric)}"
  return _told("Paired by seed: ", gaps, over, origin, missing)


def _told(
  opening: str, items: Sequence[Item], over: Mapping[str, PromptGap], origin: str, missing: str
) -> list[str]:
  """Returns a sentence on the gaps over seeds, and one on those that only prompts can test."""
  few = [v for v, gap in items if isinstance(gap, PromptGap) or gap.half_width is None]
  by_prompt = [(v, over[v.name]) for v in few if v.name in over]
  asked = {v for v, _ in by_prompt}
  by_seed = [(v, gap) for v, gap in items if v not in asked and isinstance(gap, Estimate)]
  told = []
  if by_seed or missing:
    p_values = holm([gap.p for _, gap in by_seed])
    told.append(opening + _sentence(by_seed, p_values, origin, missing))
  if by_prompt:
    of = f"These checkpoints, over {by_prompt[0][1].n} held-out prompts: "
    told.append(of + _sentence(by_prompt, [gap.p for _, gap in by_prompt], origin, ""))
  return told


def _sentence(
  items: Sequence[Item], p_values: Sequence[float | None], origin: str, missing: str
) -> str:
  """Returns "a and b improve on ORIGIN; c is level with it; <missing>."."""
  tests = sum(p is not None for p in p_values)
  up, down, level = "improve on {}", "fall below {}", "be level with {}"
  maybe = f"differ from {{}} by a test alone, which among {tests} comparisons may be chance"
  piles: dict[str, list[Item]] = {pile: [] for pile in (up, down, maybe, level)}  # what is said
  for item, p in zip(items, p_values, strict=True):
    gap = item[1]
    if p is not None and p < LEVEL:
      pile = up if gap.mean > 0 else down
    elif isinstance(gap, Estimate) and gap.untested:
      pile = f"be {'above' if gap.mean > 0 else 'below'} {{}}, untested: {gap.untested}"
    else:
      pile = maybe if gap.is_clear and isinstance(gap, Estimate) else level
    piles.setdefault(pile, []).append(item)
  words = []
  for pile, told in piles.items():
    if told:
      verb, _, rest = pile.partition(" ")
      words.append(f"{_list(told)} {_verb(verb, told)} {rest.format('it' if words else origin)}")
  return "; ".join([*words, *([missing] if missing else [])]) + "."


def _group_sizes(result: Comparison, metric: str) -> list[str]:
  """Compares the smallest K with larger ones, among variants that differ in their grouping only."""
  pairs = []
  for family in _families(result, metric):
    least = min(v.config["group_size"] for v in family)
    small = [v for v in family if v.config["group_size"] == least]
    pairs += [(a, b) for a in small for b in family if b not in small]
  gaps = [large.minus(small, at_end(metric)) for small, large in pairs]
  corrected = holm([gap.p if gap else None for gap in gaps])
  return [
    _group_size_sentence(small, large, gap, p, len(pairs))
    for (small, large), gap, p in zip(pairs, gaps, corrected, strict=True)
  ]


def _families(result: Comparison, metric: str) -> list[list[Variant]]:
  """Returns lists of variants with the same settings, except the grouping, and equal rollouts."""
  families: dict[str, list[Variant]] = {}
  for variant in result.variants:
    if variant.final(metric) and "group_size" in variant.config:
      families.setdefault(_without_grouping(variant), []).append(variant)
  equal = []
  for family in families.values():
    used = {v: found.mean if (found := v.final("rollouts")) else 0.0 for v in family}
    budgets: list[list[Variant]] = []
    for variant in sorted(family, key=lambda v: used[v]):
      if budgets and used[variant] <= (1 + _SAME) * used[budgets[-1][0]]:
        budgets[-1].append(variant)
      else:
        budgets.append([variant])
    equal += [sorted(found, key=lambda v: v.config["group_size"]) for found in budgets]
  return equal


def _group_size_sentence(
  small: Variant, large: Variant, gap: Estimate | None, p: float | None, tests: int
) -> str:
  sizes = f"K={large.config['group_size']} minus K={small.config['group_size']}"
  rollouts = small.final("rollouts")
  budget = f" at equal rollouts ({number(round(rollouts.mean))})" if rollouts else ""
  pair = f"{large.name} against {small.name}{budget}"
  if gap is None:
    return f"{pair}: no seed in common, so no paired difference."
  among = f" among {tests} such comparisons" if tests > 1 else ""
  is_clear = p is not None and p < LEVEL
  verdict = gap.untested or f"{'a' if is_clear else 'no'} clear difference{among}"
  return f"{pair}: {sizes} is {gap.signed()}, {verdict}."


def _budgets(result: Comparison) -> list[str]:
  """Says so if some variants learned from more rollouts than others."""
  used = [(found.mean, v.name) for v in result.variants if (found := v.final("rollouts"))]
  if not used or max(used)[0] <= (1 + _SAME) * min(used)[0]:
    return []
  (least, one), (most, other) = min(used), max(used)
  return [
    f"The budgets are unequal, from {least:,.0f} rollouts ({one}) to "
    f"{most:,.0f} ({other}): part of any difference may come from that."
  ]


def _missing(result: Comparison) -> list[str]:
  """Counts the runs that the means leave out: with them the means might be lower."""
  missing = len(result.unfinished)
  if not missing:
    return []
  failed = sum(variant.failed for variant in result.variants)
  left_out = f"{missing} of {len(result.runs)} runs did not finish ({failed} failed)"
  none = [variant.name for variant in result.variants if not variant.finished]
  without = f"; {_join(none)} finished none" if none else ""
  return [f"{left_out} and count in no mean{without}."]


def _without_grouping(variant: Variant) -> str:
  settings = next(run.settings for run in variant.runs if run.config)
  return repr(sorted((key, repr(settings[key])) for key in settings if key not in _GROUPING))


def _list(items: Sequence[Item]) -> str:
  if len(items) > 6:  # a sentence, not a table
    items, count = [max(items, key=lambda item: abs(item[1].mean))], len(items)
    return f"{count} variants, most of all {_list(items)},"
  return _join([f"{v.name} ({_signed(found)})" for v, found in items])


def _names(variants: list[Variant]) -> str:
  names = [variant.name for variant in variants]
  return f"{len(names)} variants" if len(names) > 6 else _join(names) if names else ""


def _signed(found: Estimate | PromptGap) -> str:
  if isinstance(found, PromptGap):
    return str(found).replace(" (", ", ").removesuffix(")")
  return found.signed().replace(" (n=", ", n=").removesuffix(")")


def _join(texts: Sequence[str]) -> str:
  return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _verb(verb: str, items: Sequence[Any]) -> str:
  if verb == "be":
    return "are" if len(items) > 1 else "is"
  return verb if len(items) > 1 else verb + "s"
