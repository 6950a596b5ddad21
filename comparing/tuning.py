"""A tuned comparison in the report: what was tried for each variant, over what, and what came out.

experiments.tune writes best.json into its own folder, and a sweep at the best values keeps a copy.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from comparing import plots, traces
from comparing.plots import Plot
from comparing.traces import Json, Style
from training.records.files import damaged, read_json

FILE = "best.json"

_SHOWN = {"score": "score", "greedy": "reward, greedy", "kl": "KL"}
_SCORES = {"eval/reward_sampled": "reward, sampled"}
_NUMBERS = [digit * 10.0**power for power in range(-9, 5) for digit in (1, 2, 5)]
_TICKS = {"tickvals": _NUMBERS, "ticktext": [f"{number:g}" for number in _NUMBERS]}
_WORDS = ("complete", "pruned", "diverged", "failed")


@dataclasses.dataclass(frozen=True)
class Row:
  """A variant: its ranges, the values chosen and those before, and the cost."""

  variant: str
  fields: dict[str, tuple[str, str, str]]  # -> over what, before, the best
  best: Mapping[str, Any] | None  # its trial
  outcomes: str  # "4 complete, 4 pruned"
  runs: int
  steps: int
  trials: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Tuning:
  """All that the page says about one tune."""

  sweep: str
  seeds: str
  score: str
  rows: list[Row]
  plot: Plot | None

  @property
  def runs(self) -> int:
    return sum(row.runs for row in self.rows)

  @property
  def steps(self) -> int:
    return sum(row.steps for row in self.rows)


def of(folders: Sequence[str]) -> list[Tuning]:
  """The tunes that these folders are of, or came from."""
  found = []
  for path in (os.path.join(folder, FILE) for folder in folders):
    if about := read_json(path):
      try:
        found.append(read(about))
      except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(path, "these are no results of experiments.tune") from None
  return found


def read(about: Mapping[str, Any]) -> Tuning:
  """From the contents of best.json."""
  return Tuning(
    sweep=about["sweep"],
    seeds=", ".join(map(str, about["seeds"])),
    score=_SCORES.get(about["score"], about["score"]),
    rows=[_row(name, one) for name, one in about["variants"].items()],
    plot=response_curves(about),
  )


def response_curves(about: Mapping[str, Any]) -> Plot | None:
  """Draws a panel a variant: a point a trial, hollow if it was stopped early, the best ringed."""
  variants = about["variants"]
  fields = list(dict.fromkeys(field for one in variants.values() for field in one["space"]))
  shown = _SHOWN | {"score": _SCORES.get(about["score"], about["score"])}
  trials = [trial for one in variants.values() for trial in one["trials"]]
  shown = {key: name for key, name in shown.items() if any(t[key] is not None for t in trials)}
  if not fields or not shown:
    return None

  def draw(field: str, key: str) -> Json:
    having = {name: one for name, one in variants.items() if field in one["space"]}
    look = plots.panels(list(having), one_scale=True)
    data = []
    for panel, (name, one) in enumerate(having.items()):
      style = traces.style(list(variants).index(name))
      data += [trace | traces.panel_of(panel) for trace in _points(one, field, key, style)]
    if any(_is_log(one["space"][field]) for one in having.values()):
      for axis in [name for name in look if name.startswith("xaxis")]:
        look[axis] |= {"type": "log", "rangemode": "normal"} | _TICKS
    return {"data": data, "layout": look | {"showlegend": False}}

  text = "Score and KL of each variant's trials against each tuned field."
  switches = {"Field": {field: field for field in fields}, "Show": shown}
  figures = {f"{field}|{key}": draw(field, key) for field in fields for key in shown}
  return Plot("tuning", text, switches, figures)


def spoken(domain: Any) -> str:
  """ "5e-05 to 0.001, log", or "0.1, 0.3"."""
  if isinstance(domain, Mapping):
    return f"{domain['low']:g} to {domain['high']:g}{', log' if domain['log'] else ''}"
  return ", ".join(map(_text, domain))


def _points(one: Mapping[str, Any], field: str, key: str, style: Style) -> list[Json]:
  """The trials that went to the end as one trace, those that did not as another."""
  known = [trial for trial in one["trials"] if trial[key] is not None]
  best = [trial for trial in known if trial["number"] == one["best_trial"]]
  whole = [trial for trial in known if trial["outcome"] == "complete"]
  cut = [trial for trial in known if trial["outcome"] != "complete"]
  ring = {"symbol": "circle-open", "size": 17, "color": style.colour, "line": {"width": 1.5}}
  filled = {"symbol": "circle", "size": 9, "color": style.colour}
  hollow = {"symbol": "circle-open", "size": 8, "color": style.tint(0.75), "line": {"width": 1.5}}
  return [
    {
      "x": [trial["values"][field] for trial in some],
      "y": [trial[key] for trial in some],
      "mode": "markers",
      "marker": marker,
      "text": [_hover(trial) for trial in some],
      "hovertemplate": "%{y:.3f}, %{text}<extra></extra>",
    }
    for some, marker in ((best, ring), (whole, filled), (cut, hollow))
    if some
  ]


def _hover(trial: Mapping[str, Any]) -> str:
  """ "trial 3: learning_rate 0.0003, beta 0.1, pruned"."""
  values = ", ".join(f"{k.rpartition('.')[2]} {_text(v)}" for k, v in trial["values"].items())
  return traces.label(f"trial {trial['number']}: {values}, {trial['outcome']}")


def _is_log(domain: Any) -> bool:
  return isinstance(domain, Mapping) and domain["log"]


def _row(name: str, one: Mapping[str, Any]) -> Row:
  outcomes = [trial["outcome"] for trial in one["trials"]]
  best = [trial for trial in one["trials"] if trial["number"] == one["best_trial"]]
  return Row(
    variant=name,
    fields={
      field: (
        spoken(domain),
        _text(one["before"][field]),
        _text(one["best"][field]) if one["best"] else "—",
      )
      for field, domain in one["space"].items()
    },
    best=best[0] if best else None,
    outcomes=", ".join(f"{outcomes.count(w)} {w}" for w in _WORDS if w in outcomes),
    runs=one["runs"],
    steps=one["steps"],
    trials=one["trials"],
  )


def _text(value: Any) -> str:
  return f"{value:g}" if isinstance(value, float) else str(value)
