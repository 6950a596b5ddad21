"""The report's figures: learning curves, reward against KL, final and implied rewards, the rest."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from comparing import curves, scores, traces
from comparing.comparison import KL, Comparison, Variant
from comparing.runs import Run
from comparing.traces import AXES, Json, Lines, Style, axis, label, layout
from training.estimates import FEWEST

BEST, WORST = "train/implied_rewards/best", "train/implied_rewards/worst"
MANY = 8  # variants: of more, bands would hide each other
_COLUMNS = 3
_TICKS = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
_LOG_TICKS = {"tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}


@dataclasses.dataclass(frozen=True)
class Plot:
  """Figures of one subject; the page's switches choose which is shown.

  `switches`: title -> {value: label}. `figures` has one for each choice, under its values joined by
  "|", as Plotly's JSON: {"data": traces, "layout": ...}.
  """

  name: str
  description: str
  switches: dict[str, dict[str, str]]
  figures: dict[str, Json]


def learning_curves(result: Comparison) -> Plot | None:
  """Draws the held-out reward while training, against each measure of cost."""
  rewards = scores.present(result)
  axes = {key: name for key, name in AXES.items() if any(run.final(key) for run in result.runs)}
  if not rewards or not axes:
    return None
  spreads = _spreads(result)
  width = curves.bin_width(result.runs)

  def draw(metric: str, cost: str, spread: str) -> Json:
    lines = Lines(cost, width, spread)
    look = traces.base_line(result.base(metric), across="y")
    look |= {"xaxis": axis(AXES[cost], rangemode="tozero"), "yaxis": axis(scores.title(metric))}
    data = [
      trace for variant, style in styled(result) for trace in lines.of(variant, style, metric)
    ]
    return {"data": data, "layout": layout(460, **look)}

  text = "Held-out reward of each variant while training."
  switches = {"Score": rewards, "Against": axes, "Spread": spreads}
  return of_choices("curves", text, switches, draw)


def _spreads(result: Comparison) -> dict[str, str]:
  """Returns how seeds may be shown, what suits so many variants and seeds first."""
  spreads = {"band": "95 % band", "seeds": "every seed"}
  if len(result.variants) > MANY:
    return {"": "mean alone"} | spreads
  has_bands = any(len(variant.finished) >= FEWEST for variant in result.variants)
  return spreads if has_bands else dict(reversed(spreads.items()))


def _small_spread(result: Comparison) -> str:
  return "" if len(result.variants) > MANY else "band"


def frontier(result: Comparison) -> Plot | None:
  """Draws each variant's reward against its KL: the mean trajectories and their ends."""
  present = scores.present(result)
  rewards = {
    metric: name for metric, name in present.items() if not metric.startswith(scores.OF_SEVERAL)
  }
  if not rewards or not any(variant.final(KL) for variant in result.variants):
    return None

  def draw(metric: str, scale: str) -> Json:
    look = traces.base_line(result.base(metric), across="y")
    kl = axis("KL to the base policy, nats a response", type=scale)
    kl |= _LOG_TICKS if scale == "log" else {"rangemode": "tozero"}
    look |= {"xaxis": kl, "yaxis": axis(scores.title(metric))}
    paths = [traces.trajectory(v, style, metric, scale == "log") for v, style in styled(result)]
    return {"data": sum(paths, []), "layout": layout(460, **look)}

  text = "Held-out reward of each variant against its KL to the base policy."
  switches = {"Score": rewards, "KL axis": {"linear": "linear", "log": "log"}}
  return of_choices("frontier", text, switches, draw)


def final_rewards(result: Comparison) -> Plot | None:
  """Draws a dot and an interval a variant, in the order of the sweep, with every seed as a tick."""
  present = scores.present(result)
  rewards = {m: text for m, text in present.items() if any(v.final(m) for v in result.variants)}
  if not rewards:
    return None
  names = [label(variant.name) for variant in result.variants]

  def draw(metric: str) -> Json:
    look = traces.base_line(result.base(metric), across="x")
    rows = axis(type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False)
    rows |= {"range": [-0.6, len(names) - 0.4], "ticksuffix": "  ", "fixedrange": True}
    look |= {"xaxis": axis(scores.title(metric)), "yaxis": rows, "showlegend": False}
    data = [traces.dots(variant, style, metric) for variant, style in styled(result)]
    return {"data": sum(data, []), "layout": layout(96 + 42 * len(names), **look)}

  text = "Final held-out reward of each variant with its 95 % interval."
  return of_choices("final", text, {"Score": rewards}, draw)


def implied_rewards(result: Comparison) -> Plot | None:
  """Draws a panel a variant: its loss's weight on the best and the worst response of a group."""
  drawn = [(v, look) for v, look in styled(result) if any(_has(run, BEST) for run in v.runs)]
  if not drawn:
    return None
  width = curves.bin_width(result.runs, curves.MAX_PANEL_POINTS)
  data = []
  for dash, word in (("solid", "best response"), ("dot", "worst response")):
    line = {"color": traces.GREY, "dash": dash, "width": 2.2}
    key = {"x": [None], "y": [None], "mode": "lines", "line": line}
    data.append(key | {"name": word, "legendgroup": word, "showlegend": True})
  for panel, (variant, look) in enumerate(drawn):
    lines = Lines("step", width, spread=_small_spread(result), markers=False, panel=panel)
    for metric, dash in ((BEST, "solid"), (WORST, "dot")):
      for trace in lines.of(variant, dataclasses.replace(look, dash=dash), metric):
        data.append(trace | {"showlegend": False})

  def draw(scale: str) -> Json:
    look = panels([v.name for v, _ in drawn], one_scale=scale == "shared", zeroline=True)
    look["legend"] |= {"itemclick": False, "itemdoubleclick": False}
    return {"data": data, "layout": look}

  text = "Implied reward of the best and the worst response of a group, for each variant."
  switches = {"Scale": {"own": "each its own", "shared": "the same for all"}}
  return of_choices("implied", text, switches, draw)


def small_curves(name: str, result: Comparison, metrics: dict[str, str]) -> Plot | None:
  """Draws a small panel against steps for each of `metrics` that some run has, under its title."""
  titles = _present(result, metrics)
  if not titles:
    return None
  width = curves.bin_width(result.runs, curves.MAX_PANEL_POINTS)
  data = [traces.legend_key(variant.name, look) for variant, look in styled(result)]
  for panel, metric in enumerate(titles):
    lines = Lines("step", width, spread=_small_spread(result), markers=False, panel=panel)
    for variant, look in styled(result):
      data += [trace | {"showlegend": False} for trace in lines.of(variant, look, metric)]
  figure = {"data": data, "layout": panels(list(titles.values()))}
  text = f"{', '.join(titles.values())}: each variant while training."
  return Plot(name, text, {}, {"": figure})


def of_choices(
  name: str, description: str, switches: dict[str, dict[str, str]], draw: Callable[..., Json]
) -> Plot:
  """Returns a plot with a figure for each choice of the switches, which `draw` gets in order."""
  figures = {"|".join(choice): draw(*choice) for choice in itertools.product(*switches.values())}
  return Plot(name, description, switches, figures)


def styled(result: Comparison) -> list[tuple[Variant, Style]]:
  return [(variant, traces.style(i)) for i, variant in enumerate(result.variants)]


def _present(result: Comparison, metrics: dict[str, str]) -> dict[str, str]:
  """Returns those of `metrics` that some run has a number of."""
  return {m: text for m, text in metrics.items() if any(_has(run, m) for run in result.runs)}


def _has(run: Run, metric: str) -> bool:
  return bool(np.isfinite(run.rows.values(metric)).any())


def panels(titles: Sequence[str], one_scale: bool = False, zeroline: bool = False) -> Json:
  """Returns the layout of a grid of small panels against steps, each with its title above it."""
  rows = -(-len(titles) // _COLUMNS)
  grid = {"rows": rows, "columns": _COLUMNS, "pattern": "independent", "xgap": 0.22, "ygap": 0.32}
  look = layout(100 + 220 * rows, grid=grid, annotations=[])
  look["margin"] = {"l": 48, "r": 12, "t": 72, "b": 32}
  look["modebar"]["remove"] += ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d"]  # the legend is there
  look["legend"] |= {"y": 1 + 26 / (220 * rows - 4)}  # above the first row's titles
  for index, title in enumerate(titles):
    place = traces.panel_of(index)
    x_match = {"matches": "x"} if index else {}
    y_match = {"matches": "y"} if index and one_scale else {}
    look[place["xaxis"].replace("x", "xaxis")] = axis(nticks=5, rangemode="tozero", **x_match)
    look[place["yaxis"].replace("y", "yaxis")] = axis(
      nticks=5, zeroline=zeroline, exponentformat="e", **y_match
    )
    where = {"xref": f"{place['xaxis']} domain", "yref": f"{place['yaxis']} domain", "x": 0, "y": 1}
    note = {
      "text": label(title),
      "xanchor": "left",
      "yanchor": "bottom",
      "yshift": 4,
      "showarrow": False,
    }
    look["annotations"].append(note | where)
  return look
