"""The elements of the report's figures as Plotly's JSON: lines with bands, paths, dots, a layout.

A variant has the same colour, dash and marker in every figure. Colours come from Okabe and Ito's
palette, which colour-blind readers can tell apart; dash and marker serve print. Backgrounds are
transparent and the text has no colour of its own, so that the page shows a figure light or dark.

They are plain dicts, because Plotly's Python objects cost seconds a page; the tests validate them.
"""

import dataclasses
import html
import math
from typing import Any

from comparing import curves
from comparing.comparison import KL, Variant
from comparing.runs import Run
from training.estimates import Estimate, number

AXES = {"rollouts": "rollouts", "step": "steps", "tokens": "tokens", "seconds": "seconds"}
GREY = "#888888"  # visible on white and on black
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("solid", "dash", "dashdot", "dot", "longdash")  # 5 and 6 share no factor: 30 pairs
_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon")

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Style:
  colour: str
  dash: str
  marker: str

  def tint(self, alpha: float) -> str:
    red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def style(index: int) -> Style:
  cycles = (_COLOURS, _DASHES, _MARKERS)
  return Style(*(cycle[index % len(cycle)] for cycle in cycles))


@dataclasses.dataclass(frozen=True)
class Lines:
  """Draws variants as curves of `axis` against a metric, into the panel numbered `panel` from 0."""

  axis: str
  width: int  # steps that a point averages
  spread: str = "band"  # or "seeds", each as a line; or "", the mean alone
  markers: bool = True
  panel: int = 0

  def of(self, variant: Variant, look: Style, metric: str) -> list[Json]:
    """Draws the finished runs' mean with its band or seeds; the other runs as thin lines."""
    mean = curves.mean_curve(variant.finished, metric, self.axis, self.width)
    thin = [run for run in variant.runs if self.spread == "seeds" or run.state != "finished"]
    traces = [line for run in thin if (line := self._thin(run, look, metric))["x"]]
    if mean and self.spread == "band":
      traces += self._band(mean, look)
    if mean:
      traces.append(self._mean(mean, look))
    for trace in traces:
      trace |= {"legendgroup": variant.name, "showlegend": False} | panel_of(self.panel)
      trace.setdefault("name", label(variant.name))
    if traces:
      traces[-1]["showlegend"] = True
    return traces

  def _mean(self, mean: curves.MeanCurve, look: Style) -> Json:
    mode = "lines+markers" if self.markers and len(mean) <= 30 else "lines"
    line = {"color": look.colour, "dash": look.dash, "width": 2.4 if self.markers else 1.8}
    return _points([(x, y.mean) for x, y in mean]) | {
      "mode": mode,
      "line": line,
      "marker": {"symbol": look.marker, "size": 8, "color": look.colour},
      "text": [hover(y) for _, y in mean],
      "hovertemplate": f"%{{text}}<br>at %{{x:,}} {AXES.get(self.axis, self.axis)}",
    }

  def _band(self, mean: curves.MeanCurve, look: Style) -> list[Json]:
    several = [(x, y) for x, y in mean if y.half_width is not None]
    if len(several) < 2:
      return []
    there, back = ([(x, y.high) for x, y in several], [(x, y.low) for x, y in reversed(several)])
    paint = {"fill": "toself", "fillcolor": look.tint(0.13), "mode": "none", "hoverinfo": "skip"}
    return [_points(there + back) | paint]

  def _thin(self, run: Run, look: Style, metric: str) -> Json:
    points = curves.curve(run, metric, self.axis, self.width)
    note = "" if run.state == "finished" else f", {run.state}"
    ends_badly = run.state in ("diverged", "failed")
    sizes = [0] * (len(points) - 1) + [9 if ends_badly else 0]
    cross = {"symbol": "x-thin", "size": sizes, "line": {"width": 2, "color": look.colour}}
    return _points(points) | {
      "name": label(run.variant + note),
      "mode": "lines+markers",
      "line": {"color": look.tint(0.55), "dash": look.dash, "width": 1},
      "marker": cross,
      "hovertemplate": f"%{{y:.3f}}, seed {run.seed}{note}<br>at %{{x:,}} {AXES[self.axis]}",
    }


def trajectory(variant: Variant, look: Style, metric: str, on_log: bool) -> list[Json]:
  """Draws the mean path of (KL, metric), with a large marker and both intervals at its end."""
  path = curves.mean_curve(variant.finished, metric, KL)
  path = [(x, y) for x, y in path if x > 0 or not on_log]
  kl, reward = variant.final(KL), variant.final(metric)
  if not path or not kl or not reward:
    return []
  shared = {"legendgroup": variant.name, "name": label(variant.name)}
  line = _points([(x, y.mean) for x, y in path]) | {
    "mode": "lines+markers",
    "line": {"color": look.colour, "dash": look.dash, "width": 1.8},
    "marker": {"symbol": look.marker, "size": 5, "color": look.colour},
    "text": [hover(y) for _, y in path],
    "hovertemplate": "%{text}<br>at KL %{x:.3f}",
    "showlegend": False,
  }
  end = _points([(kl.mean, reward.mean)]) | {
    "mode": "markers",
    "marker": {"symbol": look.marker, "size": 13, "color": look.colour},
    "error_x": _bars(kl, look),
    "error_y": _bars(reward, look),
    "hovertemplate": f"reward {hover(reward)}<br>KL {hover(kl)}",
    "showlegend": True,
  }
  return [line | shared, end | shared]


def dots(variant: Variant, look: Style, metric: str) -> list[Json]:
  """Draws a row of a dot plot: every seed as a tick, the mean with its interval."""
  final, row = variant.final(metric), label(variant.name)
  if not final:  # an empty row, so that the variant is not overlooked
    return [{"x": [None], "y": [row], "mode": "markers", "legendgroup": variant.name}]
  scores = [(run, score) for run in variant.finished if (score := run.final(metric)) is not None]
  seeds = {
    "x": [_round(score) for _, score in scores],
    "y": [row] * len(scores),
    "mode": "markers",
    "marker": {"symbol": "line-ns", "size": 14, "line": {"width": 1.5, "color": look.tint(0.6)}},
    "text": [f"seed {run.seed}" for run, _ in scores],
    "hovertemplate": "%{x:.3f}, %{text}",
  }
  mean = {
    "x": [_round(final.mean)],
    "y": [row],
    "mode": "markers",
    "marker": {"symbol": look.marker, "size": 12, "color": look.colour},
    "error_x": _bars(final, look),
    "hovertemplate": hover(final),
  }
  shared = {"name": row, "legendgroup": variant.name}
  return [seeds | shared, mean | shared]


def base_line(base: float | None, *, across: str) -> Json:
  """Returns the layout of a dashed line at the base policy's value on the axis "x" or "y"."""
  if base is None:
    return {}
  along = "y" if across == "x" else "x"
  place = {f"{across}ref": across, f"{along}ref": "paper"}
  line = {"color": GREY, "dash": "dash", "width": 1.5}
  ends = {f"{along}0": 0, f"{along}1": 1, f"{across}0": base, f"{across}1": base}
  spot = {across: base, along: 1.0}
  spot |= {"yanchor": "bottom"} if across == "x" else {"xanchor": "left", "align": "left"}
  text = f"base policy{' ' if across == 'x' else '<br>'}{number(base)}"
  note = {"text": text, "showarrow": False, "font": {"size": 12}}
  shape = {"type": "line", "layer": "below", "line": line}
  return {"shapes": [shape | ends | place], "annotations": [note | spot | place]}


def legend_key(name: str, look: Style) -> Json:
  """Draws a variant in the legend only, once for all panels: it may be in any of them, or none."""
  line = {"color": look.colour, "dash": look.dash, "width": 1.8}
  key = {"x": [None], "y": [None], "mode": "lines", "line": line, "showlegend": True}
  return key | {"legendgroup": name, "name": label(name)}


def panel_of(index: int) -> Json:
  """Returns the axes that a panel's traces use: {"xaxis": "x2", "yaxis": "y2"} for index 1."""
  suffix = str(index + 1) if index else ""
  return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def layout(height: int, **more: Any) -> Json:
  font = {"family": 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif', "size": 13}
  clear = "rgba(0,0,0,0)"
  legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}}
  common = {
    "height": height,
    "margin": {"l": 60, "r": 82, "t": 44, "b": 48},
    "font": font,
    "paper_bgcolor": clear,
    "plot_bgcolor": clear,
    "hovermode": "closest",
    "hoverlabel": {"align": "left"},
    "legend": legend,
    "modebar": {"bgcolor": clear, "remove": ["select2d", "lasso2d", "autoScale2d"]},
  }
  return common | more


def axis(title: str = "", **more: Any) -> Json:
  return {"title": {"text": title}, "zeroline": False, "automargin": True} | more


def label(name: str) -> str:
  """Escapes a name: Plotly reads some HTML in names."""
  return html.escape(name)


def hover(found: Estimate) -> str:
  return str(found) if found.half_width is None else f"{found}, n={found.n}"


def _points(points: list[tuple[float, float]]) -> Json:
  return {"x": [_round(x) for x, _ in points], "y": [_round(y) for _, y in points]}


def _bars(found: Estimate, look: Style) -> Json:
  size = _round(found.half_width or 0.0)
  return {"type": "constant", "value": size, "color": look.colour, "thickness": 2, "width": 5}


def _round(x: float) -> float:
  """Rounds to five digits: a screen shows no more, and the page takes half the bytes."""
  return x if x == 0 else round(x, 4 - math.floor(math.log10(abs(x))))
