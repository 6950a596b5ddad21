"""What a comparison found, in sentences computed from its numbers, with no claim beyond them."""

from typing import Any

from experiments.comparing.comparison import REWARD, SAMPLED, Comparison, Variant
from experiments.comparing.estimates import Estimate, number
from experiments.run_folder import flatten

_GROUPING = ("group_size", "batch_prompts", "micro_batches", "seed")


def sentences(result: Comparison) -> list[str]:
  """Against the base policy, then large against small groups, then which runs are missing."""
  if not result.finished:
    return ["No run has finished yet, so there is nothing to conclude."]
  scored = [m for m in (REWARD, SAMPLED) if any(v.final(m) for v in result.variants)]
  if not scored:
    return ["No finished run was evaluated on held-out prompts, so there is nothing to conclude."]
  metric = scored[0]
  found = [_against_base(result, metric)]
  found += [f"Sampled, not greedy: {_against_base(result, other)}" for other in scored[1:]]
  return [*found, *_group_sizes(result, metric), *_missing(result)]


def _against_base(result: Comparison, metric: str) -> str:
  gains = [(v, gain) for v in result.variants if (gain := v.gain(metric))]
  if not gains:
    return "The base policy was not evaluated, so no gain can be told."
  base = result.base(metric)
  origin = "the base policy" + (f" ({number(base)})" if base is not None else "")
  single = [(v, gain) for v, gain in gains if gain.n == 1]
  several = [(v, gain) for v, gain in gains if gain.n > 1]
  better = [(v, gain) for v, gain in several if gain.is_clear and gain.mean > 0]
  worse = [(v, gain) for v, gain in several if gain.is_clear and gain.mean < 0]
  unclear = [(v, gain) for v, gain in several if not gain.is_clear]
  parts = []
  if better:
    parts.append(f"{_list(better)} {_verb('improve', better)} on {origin} in held-out reward")
  if worse:
    parts.append(f"{_list(worse)} {_verb('fall', worse)} below {origin if not better else 'it'}")
  if unclear:
    tail = f" from {origin}" if not parts else ""
    parts.append(f"{_list(unclear)} {_verb('show', unclear)} no clear change{tail}")
  if single:
    tail = f" against {origin}" if not parts else ""
    parts.append(f"{_list(single)} cannot be judged{tail}: one seed gives no interval")
  return "; ".join(parts) + "."


def _group_sizes(result: Comparison, metric: str) -> list[str]:
  """Smallest against largest K, for variants that are equal but for how rollouts are grouped."""
  families: dict[str, list[Variant]] = {}
  for variant in result.variants:
    if variant.final(metric) and "group_size" in variant.config:
      families.setdefault(_without_grouping(variant.config), []).append(variant)
  found = []
  for family in families.values():
    small, *others = sorted(family, key=lambda variant: variant.config["group_size"])
    for large in others:
      if small.config["group_size"] < large.config["group_size"]:
        found.append(_group_size_sentence(small, large, metric))
  return found


def _group_size_sentence(small: Variant, large: Variant, metric: str) -> str:
  gap = large.minus(small, metric)
  sizes = f"K={large.config['group_size']} minus K={small.config['group_size']}"
  pair = f"{large.name} against {small.name}{_budget(small, large)}"
  if gap is None:
    return f"{pair}: no seed in common, so no paired difference."
  verdict = "a clear difference" if gap.is_clear else "no clear difference"
  if gap.half_width is None:
    verdict = "one seed gives no interval"
  return f"{pair}: {sizes} is {gap.signed()}, {verdict}."


def _budget(small: Variant, large: Variant) -> str:
  a, b = small.final("rollouts"), large.final("rollouts")
  if a is None or b is None:
    return ""
  if abs(a.mean - b.mean) <= 0.01 * max(a.mean, b.mean):
    return f" at equal rollouts ({number(round(a.mean))})"
  return f" at unequal rollouts ({number(round(b.mean))} and {number(round(a.mean))})"


def _missing(result: Comparison) -> list[str]:
  """The runs that the means leave out: with them they could be lower."""
  missing = len(result.unfinished)
  if not missing:
    return []
  failed = sum(variant.failed for variant in result.variants)
  left_out = f"{missing} of {len(result.runs)} runs did not finish ({failed} failed)"
  none = [variant.name for variant in result.variants if not variant.finished]
  without = f"; {' and '.join(none)} finished none" if none else ""
  return [f"{left_out} and count in no mean{without}."]


def _without_grouping(config: dict[str, Any]) -> str:
  flat = flatten(config)
  return repr(sorted((key, repr(flat[key])) for key in flat if key not in _GROUPING))


def _list(items: list[tuple[Variant, Estimate]]) -> str:
  if len(items) > 6:  # a sentence, not a table
    items, count = [max(items, key=lambda item: abs(item[1].mean))], len(items)
    return f"{count} variants, most of all {_list(items)},"
  texts = [f"{v.name} ({gain.signed().replace(' (n=1)', ', n=1')})" for v, gain in items]
  return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _verb(verb: str, items: list[Any]) -> str:
  return verb if len(items) > 1 else verb + "s"
