"""The report's page: what it says, gathered from a comparison for the template to lay out."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from experiments.comparing import curves, finding, plots, rounds, traces
from experiments.comparing.comparison import KL, REWARD, SAMPLED, Comparison, Run, Variant, value
from experiments.comparing.estimates import Estimate, number
from experiments.run_folder import flatten

# The order in which other metrics are shown; those not listed follow, by name.
_FIRST = (
  "eval/kl eval/entropy eval/length eval/finished train/loss train/reward train/reward_std "
  "train/frac_reward_zero_std train/entropy train/completions/mean_length train/grad_norm "
  "train/clip_ratio/region_mean train/kl"
).split()
_HERE = os.path.dirname(os.path.abspath(__file__))
_SHOWN_ELSEWHERE = {plots.BEST, plots.WORST}


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of the final table. `base` is the base policy's value; leaders are marked."""

  title: str
  cell: Callable[[Variant], Estimate | None]
  base: float | None = None
  leaders: frozenset[str] = frozenset()
  is_difference: bool = False
  is_count: bool = False  # the same for all seeds but for chance: no interval


def fill(template: str, folder: str = _HERE, **values: Any) -> str:
  """A template with these values, escaped, and with Plotly's own source.

  It is looked up in `folder`; what it includes may also be of this one.
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
  """The page as one HTML text that needs nothing else."""
  shown = {
    "curves": plots.learning_curves(result),
    "frontier": plots.frontier(result),
    "final": plots.final_rewards(result),
    "implied": plots.implied_rewards(result),
    "others": plots.other_curves(result, _other_metrics(result)),
    "rounds": rounds.by_round(result),
  }
  return fill(
    "report.html.j2",
    result=result,
    finding=finding.sentences(result),
    facts=_facts(result),
    plots=shown,
    rounds=rounds.tables(result),
    styles={variant.name: traces.style(i) for i, variant in enumerate(result.variants)},
    base=result.base(REWARD),
    width=curves.bin_width(result.runs),
    columns=_columns(result),
    differences=_differences(result.variants),
    commands=_commands(result.variants),
    completions=_completions(result),
    eval_prompts=_shared_value(result, "task", "eval_prompts"),
  )


def _facts(result: Comparison) -> dict[str, str]:
  """What the header says about the sweep; only what is known."""
  environments = [run.folder.read_env() for run in result.runs]
  devices = dict.fromkeys(env["device"] for env in environments if env.get("device"))
  versions = dict.fromkeys(env.get("versions", {}).get("jax", "") for env in environments)
  facts = {
    "Runs": f"{len(result.finished)} of {len(result.runs)} finished",
    "Seeds": ", ".join(map(str, sorted({run.seed for run in result.runs}))),
    "Task": str(_shared_value(result, "task", "name") or ""),
    "Device": ", ".join(devices),
    "JAX": ", ".join(filter(None, versions)),
    "Date": result.date,
    "Commit": ", ".join(_short(commit) for commit in result.commit.split(", ")),
    "Sweep file": result.file,
  }
  return {title: fact for title, fact in facts.items() if fact}


def _short(commit: str) -> str:
  """The first ten digits of a commit, and whether files differed from it."""
  return commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")


def _shared_value(result: Comparison, section: str, field: str) -> Any:
  """The config's value if it is the same in all runs, else None."""
  found = [run.config.get(section, {}).get(field) for run in result.runs if run.config]
  return found[0] if found and all(item == found[0] for item in found) else None


def _columns(result: Comparison) -> list[Column]:
  """The final table's columns, those left out that no variant has."""

  def of(title: str, metric: str, has_best: bool = False) -> Column:
    leaders = frozenset(result.leaders(metric)) if has_best else frozenset()
    return Column(title, lambda v: v.final(metric), result.base(metric), leaders)

  def gain(variant: Variant) -> Estimate | None:
    return variant.gain(REWARD)

  first = result.variants[0]

  def lead(variant: Variant) -> Estimate | None:
    return None if variant is first else variant.minus(first, REWARD)

  names = plots.reward_metrics(result)
  others = [of(names[m], m, has_best=True) for m in names if m not in plots.REWARDS]
  columns = [
    of("reward, greedy", REWARD, has_best=True),
    Column("minus base", gain, is_difference=True),
    Column(f"minus {first.name}", lead, is_difference=True),
    of("reward, sampled", SAMPLED, has_best=True),
    *others,
    of("KL", KL),
    of("entropy", "eval/entropy"),
    of("length", "eval/length"),
    Column("rollouts", lambda v: v.final("rollouts"), is_count=True),
    Column("seconds", lambda v: v.final("seconds")),
  ]
  return [column for column in columns if any(column.cell(v) for v in result.variants)]


def _other_metrics(result: Comparison) -> list[str]:
  found = {key for run in result.runs for row in run.rows for key in row if "/" in key}
  found -= {key for key in found if key.startswith("round/")}  # against rounds, not steps
  found -= _SHOWN_ELSEWHERE | plots.reward_metrics(result).keys()
  ordered = [metric for metric in _FIRST if metric in found]
  return ordered + sorted(found.difference(_FIRST))


def _differences(variants: Sequence[Variant]) -> dict[str, list[str]]:
  """Config field -> its value in each variant, for the fields that are not the same in all."""
  flat = [flatten(variant.config) for variant in variants]
  fields = dict.fromkeys(field for config in flat for field in config if field != "seed")
  rows = {field: [_text(config.get(field)) for config in flat] for field in fields}
  return {field: texts for field, texts in rows.items() if len(set(texts)) > 1}


def _text(found: Any) -> str:
  return "—" if found is None else found if isinstance(found, str) and found else json.dumps(found)


def _commands(variants: Sequence[Variant]) -> list[str]:
  """What to type to train each variant's first run alone."""
  paths = [os.path.join(variant.runs[0].folder.path, "command.txt") for variant in variants]
  commands = []
  for path in paths:
    if os.path.exists(path):
      with open(path) as file:
        commands.append(file.read().strip())
  return [command for command in commands if command]


@dataclasses.dataclass
class Prompt:
  text: str
  answer: str
  responses: list[dict[str, Any]]  # completions.jsonl's rows, with "variant" ("" the base policy)


def _completions(result: Comparison) -> list[Prompt]:
  """What the base policy and then each variant's first run answered at the end, by prompt."""
  prompts: dict[str, Prompt] = {}
  base = next((rows for run in result.runs if (rows := _completions_at(run, last=False))), [])
  groups = [("", base if result.has_one_base else [])]
  for variant in result.variants:
    first = next((rows for run in _by_use(variant) if (rows := _completions_at(run))), [])
    groups.append((variant.name, first))
  for name, rows in groups:
    for row in rows:
      prompt = prompts.setdefault(
        row["prompt"], Prompt(row["prompt"], str(row.get("answer", "")), [])
      )
      prompt.responses.append(row | {"variant": name, "reward": value(row, "reward")})
  return list(prompts.values())


def _by_use(variant: Variant) -> list[Run]:
  """Finished runs first, then by seed."""
  return sorted(variant.runs, key=lambda run: (run.state != "finished", run.seed))


def _completions_at(run: Run, last: bool = True) -> list[dict[str, Any]]:
  """The run's completions at its last evaluation; or at step 0, those of the base policy."""
  rows = run.folder.read_completions()
  if not last:
    return [row for row in rows if row["step"] == 0]
  step = max((row["step"] for row in rows), default=0)
  return [row for row in rows if row["step"] == step > 0]
