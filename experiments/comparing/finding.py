"""What a comparison found, in sentences computed from its numbers, with no claim beyond them.

A difference is claimed where its p-value, corrected for the number of differences in the same
sentences (Holm), is below 0.05. The ± beside each is its own interval, not corrected.
"""

from collections.abc import Sequence
from typing import Any

from experiments.comparing import scores
from experiments.comparing.comparison import SAMPLED, Comparison, Variant, at_end
from experiments.comparing.estimates import LEVEL, Estimate, holm, number

_GROUPING = ("group_size", "batch_prompts", "micro_batches")

Item = tuple[Variant, Estimate]


def sentences(result: Comparison) -> list[str]:
  """Against the base policy and the baseline, large against small groups, then what is unfair."""
  if not result.finished:
    return ["No run has finished yet, so there is nothing to conclude."]
  if result.nothing_shared:
    return [result.nothing_shared]
  metrics = scores.judges(result)
  if not metrics:
    return ["No finished run was evaluated on held-out prompts, so there is nothing to conclude."]
  found = []
  for metric in metrics:
    is_second = metric == SAMPLED and len(metrics) > 1
    found.append(("Sampled, not greedy: " if is_second else "") + _against_base(result, metric))
    opening = "Sampled and paired by seed: " if is_second else "Paired by seed: "
    found += [opening + text for text in _against_baseline(result, metric)]
  return [*found, *_group_sizes(result, metrics[0]), *_budgets(result), *_missing(result)]


def _against_base(result: Comparison, metric: str) -> str:
  gains = [(v, gain) for v in result.variants if (gain := v.gain(metric))]
  if not gains:
    return "The base policy was not evaluated, so no gain can be told."
  base = result.base(metric)
  origin = "the base policy" + (f" ({number(base)})" if base is not None else "")
  return _judged(gains, origin, scores.phrase(metric), "change")


def _against_baseline(result: Comparison, metric: str) -> list[str]:
  name = result.baseline.name
  gaps = [(v, gap) for v in result.others if (gap := v.minus(result.baseline, at_end(metric)))]
  if not gaps:
    return []
  return [_judged(gaps, name, scores.phrase(metric), "difference")]


def _judged(items: list[Item], origin: str, what: str, kind: str) -> str:
  """ "a and b improve on the base policy in ...; c shows no clear change." """
  corrected = holm([found.p for _, found in items])
  clear, alone, unclear, few = [], [], [], []
  for item, p in zip(items, corrected, strict=True):
    is_clear = p is not None and p < LEVEL
    few_seeds = item[1].half_width is None
    pile = few if few_seeds else clear if is_clear else alone if item[1].is_clear else unclear
    pile.append(item)
  better, worse = [i for i in clear if i[1].mean > 0], [i for i in clear if i[1].mean <= 0]
  parts = []
  if better:
    parts.append(f"{_list(better)} {_verb('improve', better)} on {origin} in {what}")
  if worse:
    where = "it" if better else f"{origin} in {what}"
    parts.append(f"{_list(worse)} {_verb('fall', worse)} below {where}")
  if alone:
    tail = "" if parts else f" from {origin} in {what}"
    tests = sum(p is not None for p in corrected)
    parts.append(
      f"{_list(alone)} would alone be a clear {kind}{tail}, but {_verb('be', alone)} not "
      f"among {tests} comparisons"
    )
  if unclear:
    tail = "" if parts else f" from {origin} in {what}"
    parts.append(f"{_list(unclear)} {_verb('show', unclear)} no clear {kind}{tail}")
  if few:
    tail = "" if parts else f" against {origin}"
    parts.append(f"{_list(few)} cannot be judged{tail}: fewer than three seeds give no interval")
  return "; ".join(parts) + "."


def _group_sizes(result: Comparison, metric: str) -> list[str]:
  """Smallest against largest K, for variants that are equal but for how rollouts are grouped."""
  families: dict[str, list[Variant]] = {}
  for variant in result.variants:
    if variant.final(metric) and "group_size" in variant.config:
      families.setdefault(_without_grouping(variant), []).append(variant)
  pairs = []
  for family in families.values():
    small, *others = sorted(family, key=lambda variant: variant.config["group_size"])
    pairs += [(small, v) for v in others if v.config["group_size"] > small.config["group_size"]]
  gaps = [large.minus(small, at_end(metric)) for small, large in pairs]
  corrected = holm([gap.p if gap else None for gap in gaps])
  return [
    _group_size_sentence(small, large, gap, p, len(pairs))
    for (small, large), gap, p in zip(pairs, gaps, corrected, strict=True)
  ]


def _group_size_sentence(
  small: Variant, large: Variant, gap: Estimate | None, p: float | None, tests: int
) -> str:
  sizes = f"K={large.config['group_size']} minus K={small.config['group_size']}"
  pair = f"{large.name} against {small.name}{_budget(small, large)}"
  if gap is None:
    return f"{pair}: no seed in common, so no paired difference."
  among = f" among {tests} such comparisons" if tests > 1 else ""
  if p is None:
    verdict = "fewer than three seeds give no interval"
  else:
    verdict = f"{'a' if p < LEVEL else 'no'} clear difference{among}"
  return f"{pair}: {sizes} is {gap.signed()}, {verdict}."


def _budget(small: Variant, large: Variant) -> str:
  a, b = small.final("rollouts"), large.final("rollouts")
  if a is None or b is None:
    return ""
  if abs(a.mean - b.mean) <= 0.01 * max(a.mean, b.mean):
    return f" at equal rollouts ({number(round(a.mean))})"
  return f" at unequal rollouts ({number(round(b.mean))} and {number(round(a.mean))})"


def _budgets(result: Comparison) -> list[str]:
  """Whether some variants learned from more rollouts than others."""
  used = [(found.mean, v.name) for v in result.variants if (found := v.final("rollouts"))]
  if not used or max(used)[0] - min(used)[0] <= 0.01 * max(used)[0]:
    return []
  (least, one), (most, other) = min(used), max(used)
  return [
    f"The budgets are unequal, from {number(round(least))} rollouts ({one}) to "
    f"{number(round(most))} ({other}): part of any difference may come from that."
  ]


def _missing(result: Comparison) -> list[str]:
  """The runs that the means leave out: with them they could be lower."""
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


def _list(items: list[Item]) -> str:
  if len(items) > 6:  # a sentence, not a table
    items, count = [max(items, key=lambda item: abs(item[1].mean))], len(items)
    return f"{count} variants, most of all {_list(items)},"
  return _join([f"{v.name} ({_signed(found)})" for v, found in items])


def _signed(found: Estimate) -> str:
  return found.signed().replace(" (n=", ", n=").removesuffix(")")


def _join(texts: Sequence[str]) -> str:
  return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _verb(verb: str, items: list[Any]) -> str:
  if verb == "be":
    return "are" if len(items) > 1 else "is"
  return verb if len(items) > 1 else verb + "s"
