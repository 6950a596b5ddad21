"""The report's page: gathers its contents from a comparison for the template to lay out."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from comparing import (
  completions,
  curves,
  finding,
  plots,
  rounds,
  scores,
  summary,
  swept_plots,
  traces,
  tuning,
  verdict,
  verdict_table,
  weights,
)
from comparing.comparison import KL, REWARD, SAMPLED, Comparison, Variant, at_end
from comparing.leaders import leaders
from configs.config_values import flatten
from training.estimates import Estimate, number

_DIAGNOSTICS = {
  "train/clip_ratio/region_mean": "share of tokens clipped",
  "train/cispo_clip_ratio": "share of tokens capped (CISPO)",
  "train/entropy": "entropy, nats a token",
  "train/completions/mean_length": "length, tokens",
  "eval/kl": "KL to the base policy, nats a response",
  "train/grad_norm": "norm of the gradient",
  "train/frac_reward_zero_std": "share of groups that are ties",
  "train/learning_rate": "learning rate",
}
# The order in which other metrics are shown; those not listed follow, by name.
_FIRST = (
  "eval/entropy eval/length eval/finished train/loss train/reward train/reward_std train/kl"
).split()
_NBSP = "\N{NO-BREAK SPACE}"
_NO_FIELD = "—"
_WIDEST = 6  # tables have a column a variant for at most so many variants
_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of the final table. `base` is the base policy's value, `leaders` is of leaders()."""

  title: str
  cell: Callable[[Variant], Estimate | None]
  base: float | None = None
  leaders: Mapping[str, str] = dataclasses.field(default_factory=dict)
  is_count: bool = False  # a cost, about the same for all seeds: shown without an interval


def fill(template: str, folder: str = _HERE, **values: Any) -> str:
  """Renders a template with these values, escaped, and with Plotly's own source.

  The template is looked up in `folder`; the files that it includes, there or in this folder.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader([folder, _HERE]),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
  environment.filters["number"] = number
  return environment.get_template(template).render(plotly=Markup(get_plotlyjs()), **values)


def render(result: Comparison) -> str:
  """Returns the page as one HTML text that needs no other file."""
  differences = _differences(result.variants)
  won = verdict.verdict(result)
  sentences = finding.sentences(result)
  primary = scores.primary(result) or [SAMPLED]
  is_wide = len(result.variants) > _WIDEST
  shown = {
    "curves": plots.learning_curves(result),
    "frontier": plots.frontier(result),
    "final": plots.final_rewards(result),
    "swept": swept_plots.along(result),
    "map": swept_plots.over_two(result),
    "implied": plots.implied_rewards(result),
    "diagnostics": plots.small_curves("diagnostics", result, _DIAGNOSTICS),
    "others": plots.small_curves("others", result, _other_metrics(result)),
    "rounds": rounds.by_round(result),
  }
  return fill(
    "report.html.j2",
    result=result,
    verdict=won,
    verdict_sentences=_unbroken(verdict.sentences(won) if won else sentences),
    verdict_csv=verdict_table.as_csv(won) if won else "",
    verdict_latex=verdict_table.as_latex(won) if won else "",
    forest=verdict_table.Forest.of(won) if won else None,
    gain=verdict_table.gain,
    many=len(result.variants) > plots.MANY,
    finding=_unbroken(sentences),
    statistics=summary.tables(result),
    weights=weights.by_variant(result),
    facts=_facts(result),
    plots=shown,
    rounds=rounds.tables(result),
    tunings=tuning.of(result.folders),
    styles={variant.name: traces.style(i) for i, variant in enumerate(result.variants)},
    base=result.base(primary[0]),
    noun="reward" if primary[0] in (REWARD, SAMPLED) else "accuracy",
    width=curves.bin_width(result.runs),
    panel_width=curves.bin_width(result.runs, curves.MAX_PANEL_POINTS),
    columns=_columns(result),
    differences=differences,
    settings=[_settings(differences, i) for i in range(len(result.variants))] if is_wide else [],
    commands=_commands(result.variants),
    completions=completions.texts(result),
    eval_prompts=_shared_value(result, "task", "eval_prompts"),
  )


def _unbroken(sentences: Sequence[str]) -> list[str]:
  return [text.replace(" ± ", f"{_NBSP}±{_NBSP}") for text in sentences]


def _facts(result: Comparison) -> dict[str, str]:
  """Returns the facts about the sweep in the page's header; only those that are known."""
  environments = [run.env for run in result.runs]
  devices = dict.fromkeys(env["device"] for env in environments if env.get("device"))
  versions = dict.fromkeys(env.get("versions", {}).get("jax", "") for env in environments)
  facts = {
    "Runs": f"{len(result.finished)} of {len(result.runs)} finished",
    "Seeds": ", ".join(map(str, sorted({run.seed for run in result.runs}))),
    "Task": str(_shared_value(result, "task", "name") or ""),
    "Learning rate": _learning_rate(result),
    "Device": ", ".join(devices),
    "JAX": ", ".join(filter(None, versions)),
    "Date": result.date,
    "Commit": ", ".join(_short(commit) for commit in result.commit.split(", ")),
    "Sweep file": result.file,
  }
  return {title: fact for title, fact in facts.items() if fact}


def _learning_rate(result: Comparison) -> str:
  rates = {v.config.get("optimizer", {}).get("learning_rate") for v in result.variants} - {None}
  low, high = min(rates, default=None), max(rates, default=None)
  return f"{low:g}" + (f" to {high:g}" if low != high else "") if rates else ""


def _short(commit: str) -> str:
  """Shortens a commit to ten digits, keeping "-dirty" (files differed from it)."""
  return commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")


def _shared_value(result: Comparison, section: str, field: str) -> Any:
  """Returns the config's value if it is the same in all runs, else None."""
  found = [run.config.get(section, {}).get(field) for run in result.runs if run.config]
  return found[0] if found and all(item == found[0] for item in found) else None


def _columns(result: Comparison) -> list[Column]:
  """Returns the final table's columns, without those that no variant has."""

  def of(title: str, metric: str, has_best: bool = False) -> Column:
    found = leaders(result, at_end(metric)) if has_best else {}
    return Column(title, lambda v: v.final(metric), result.base(metric), found)

  def spent(counter: str) -> Column:
    return Column(counter, lambda v: v.final(counter), is_count=True)

  named = {SAMPLED: "reward, sampled", REWARD: "reward, greedy"}
  present = {m: named.get(m, name) for m, name in scores.present(result).items()}
  (first, title), *others = [*present.items()] or [(SAMPLED, named[SAMPLED])]
  columns = [
    *(of(title, first, has_best=True), of("KL", KL)),
    *[of(title, metric, has_best=True) for metric, title in others],
    *(of("entropy", "eval/entropy"), of("length", "eval/length")),
    *(spent("rollouts"), spent("tokens"), Column("seconds", lambda v: v.final("seconds"))),
  ]
  return [column for column in columns if any(column.cell(v) for v in result.variants)]


def _other_metrics(result: Comparison) -> dict[str, str]:
  """Returns the metrics that no other figure of the page shows, titled by their own names."""
  found = {name for run in result.runs for name in run.rows.names if "/" in name}
  found -= {key for key in found if key.startswith("round/")}  # drawn against rounds, not steps
  found -= {plots.BEST, plots.WORST} | _DIAGNOSTICS.keys() | scores.present(result).keys()
  ordered = [metric for metric in _FIRST if metric in found]
  return {metric: metric for metric in ordered + sorted(found.difference(_FIRST))}


def _differences(variants: Sequence[Variant]) -> dict[str, list[str]]:
  """Returns config field -> its value in each variant, if they differ; learning rates first."""
  flat = [flatten(variant.config) for variant in variants]
  fields = dict.fromkeys(field for config in flat for field in config if field != "seed")
  ordered = sorted(fields, key=lambda field: not field.endswith("learning_rate"))
  rows = {field: [_text(config.get(field)) for config in flat] for field in ordered}
  return {field: texts for field, texts in rows.items() if len(set(texts)) > 1}


def _settings(differences: dict[str, list[str]], index: int) -> str:
  """Returns variant number `index`'s differences, "optimizer.learning_rate=0.0001 group_size=8"."""
  texts = {field: values[index] for field, values in differences.items()}
  return " ".join(f"{field}={text}" for field, text in texts.items() if text != _NO_FIELD)


def _text(found: Any) -> str:
  if isinstance(found, float):
    return f"{found:g}"
  return (
    _NO_FIELD if found is None else found if isinstance(found, str) and found else json.dumps(found)
  )


def _commands(variants: Sequence[Variant]) -> list[str]:
  """Returns the commands that train each variant's first run alone."""
  commands = [variant.runs[0].folder.read_command() for variant in variants]
  return [command for command in commands if command]
