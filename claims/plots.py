"""A claim's plots as Plotly's JSON, in the colours and the layout of the comparison's page."""

import math
from collections.abc import Iterable, Sequence

from claims.claim import Curve, Plot
from claims.results import plain
from comparing import traces
from comparing.traces import Json, Style

_MARKED = 12  # a line of at most so many points has markers
_HEIGHT, _WIDTH = 310, 430  # pixels: height of the axes with their labels, width of the legend
_LETTER, _SWATCH, _ROW, _BUTTONS = 6.5, 44, 30, 28  # pixels
_TICKS = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]


def figure(plot: Plot) -> Json:
  """Returns {"data": traces, "layout": ...}."""
  data = []
  for index, curve in enumerate(plot.curves):
    # Lower curves are thicker, so that curves that agree can all be seen.
    above = min(len(plot.curves) - 1 - index, 3)
    data += _traces(curve, traces.style(index), above, plot.log_y)
  everything = [x for trace in data for x in trace["x"]], [y for trace in data for y in trace["y"]]
  rows = _legend_rows([curve.name for curve in plot.curves])
  top = _BUTTONS + _ROW * rows  # Plotly's buttons above the legend, not over it
  look = traces.layout(_HEIGHT + top, margin={"l": 56, "r": 12, "t": top, "b": 44})
  look["showlegend"] = rows > 0
  look["xaxis"] = _axis(plot.x_label, everything[0], plot.log_x)
  look["yaxis"] = _axis(plot.y_label, everything[1], plot.log_y)
  return {"data": data, "layout": look}


def _traces(curve: Curve, look: Style, above: int, on_log: bool) -> list[Json]:
  x, y = _rounded(curve.x), _rounded(curve.y)
  shared = {"legendgroup": curve.name, "name": traces.label(curve.name)}
  marker = {"symbol": look.marker, "size": 7 + 2 * above, "color": look.colour}
  line = {"color": look.colour, "dash": look.dash, "width": 2 + 0.8 * above}
  mode = "markers" if curve.points else "lines+markers" if len(x) <= _MARKED else "lines"
  drawn = {"x": x, "y": y, "mode": mode, "marker": marker, "line": line} | shared
  if curve.low is None or curve.high is None:
    return [drawn]
  low, high = _rounded(curve.low), _rounded(curve.high)
  if curve.points:
    return [drawn | {"error_y": _bars(y, low, high, look)}]
  return [_band(x, y, low, high, look, on_log) | shared, drawn]


def _band(
  x: Sequence[float | None],
  y: Sequence[float | None],
  low: Sequence[float | None],
  high: Sequence[float | None],
  look: Style,
  on_log: bool,
) -> Json:
  """Returns the area between low and high; on a log axis its lower edge is kept positive."""
  floor = min((v for v in [*y, *low] if v is not None and v > 0), default=0.0)
  there = [(a, c) for a, c in zip(x, high, strict=True) if a is not None and c is not None]
  back = [(a, b) for a, b in zip(x, low, strict=True) if a is not None and b is not None]
  edge = there + [(a, max(b, floor) if on_log else b) for a, b in reversed(back)]
  paint = {"fill": "toself", "fillcolor": look.tint(0.13), "mode": "none", "hoverinfo": "skip"}
  return {"x": [a for a, _ in edge], "y": [b for _, b in edge], "showlegend": False} | paint


def _bars(
  y: Sequence[float | None],
  low: Sequence[float | None],
  high: Sequence[float | None],
  look: Style,
) -> Json:
  up = [None if a is None or b is None else b - a for a, b in zip(y, high, strict=True)]
  down = [None if a is None or b is None else a - b for a, b in zip(y, low, strict=True)]
  sizes = {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
  return sizes | {"color": look.colour, "thickness": 1.5, "width": 4}


def _axis(title: str, values: Iterable[float | None], is_log: bool) -> Json:
  look = traces.axis(tickfont={"size": 12})
  look["title"] = {"text": traces.label(title), "font": {"size": 13}, "standoff": 8}
  if not is_log:
    return look
  powers = [math.log10(value) for value in values if value is not None and value > 0]
  decades = max(powers) - min(powers) if powers else 1.0
  look["type"] = "log"
  if decades < 2:
    return look | {"tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}
  font = {"size": 10}  # Plotly enlarges labels that have an exponent
  return look | {"exponentformat": "power", "dtick": math.ceil(decades / 7), "tickfont": font}


def _legend_rows(names: Sequence[str]) -> int:
  """Returns how many rows the legend will fill; 0 for a single curve, which needs no legend."""
  if len(names) < 2:
    return 0
  widest = _SWATCH + _LETTER * max(map(len, names))  # the columns are as wide as the widest
  return -(-len(names) // max(1, int(_WIDTH / widest)))


def _rounded(values: object) -> list[float | None]:
  """Rounds to five digits: a screen shows no more."""
  return [None if value is None else float(f"{value:.5g}") for value in plain(values)]
