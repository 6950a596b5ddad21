"""Figures of what a swept number does: reward and KL along it, and over it and others as a map."""

import dataclasses
from collections.abc import Mapping, Sequence

from comparing import plots, scores, traces
from comparing.comparison import KL, Comparison, Variant
from comparing.plots import Plot
from comparing.swept import Axis, Grid, Line, axes, grids, short
from comparing.traces import Json
from training.estimates import number

_FEWEST = 3  # values that make an axis worth drawing; two are in the table
_KL = "KL to the base policy, nats a response"


def along(result: Comparison) -> Plot | None:
  """Draws the final reward, and beside it the KL, against each field that was swept."""
  found = {axis.field: axis for axis in axes(result) if len(axis.values) >= _FEWEST}
  rewards = _rewards(result)
  if not found or not rewards:
    return None

  def draw(field: str, metric: str) -> Json:
    axis = found[field]
    metrics = {metric: scores.title(metric)} | ({KL: _KL} if _has_kl(result) else {})
    look = plots.panels([*metrics.values()])
    look["grid"]["columns"] = len(metrics)
    look["height"] += 60
    for panel in range(len(metrics)):
      look[traces.panel_of(panel)["xaxis"].replace("x", "xaxis")] = _across(axis)
    if (base := result.base(metric)) is not None:
      across = {"xref": "x domain", "yref": "y", "x0": 0, "x1": 1, "y0": base, "y1": base}
      line = {"color": traces.GREY, "dash": "dash", "width": 1.5}
      look["shapes"] = [{"type": "line", "layer": "below", "line": line} | across]
    data = [
      _points(line, index, metric, panel)
      for panel, metric in enumerate(metrics)
      for index, line in enumerate(axis.lines)
    ]
    return {"data": data, "layout": look}

  text = "Final held-out reward and KL against each number that was swept."
  switches = {"Against": {field: short(field) for field in found}, "Score": rewards}
  return plots.of_choices("swept", text, switches, draw)


def over_two(result: Comparison) -> Plot | None:
  """Draws a map of the final reward, or the KL, over each two fields that were swept together.

  And over each field and the lines along it, where these are several: losses, say.
  """
  found = [_of_lines(axis) for axis in axes(result) if len(axis.values) >= _FEWEST]
  maps = {one.title: one for one in [*filter(None, found), *map(_of_grid, grids(result))]}
  values = _rewards(result) | ({KL: "KL"} if _has_kl(result) else {})
  if not maps or not _rewards(result):
    return None

  def draw(which: str, metric: str) -> Json:
    return _drawn(maps[which], metric)

  text = "Final held-out reward and KL over two things that were swept together."
  return plots.of_choices("map", text, {"Over": {t: t for t in maps}, "Score": values}, draw)


@dataclasses.dataclass(frozen=True)
class _Map:
  """Variants by the names of their column and row."""

  title: str
  x: str
  y: str
  columns: Sequence[str]
  rows: Sequence[str]
  cells: Mapping[tuple[str, str], Variant]


def _of_grid(grid: Grid) -> _Map:
  columns, rows = (sorted({cell[i] for cell in grid.cells}) for i in (0, 1))
  return _Map(
    f"{short(grid.x)} × {short(grid.y)} {grid.name}".strip(),
    grid.x,
    grid.y,
    [f"{x:g}" for x in columns],
    [f"{y:g}" for y in rows],
    {(f"{x:g}", f"{y:g}"): variant for (x, y), variant in grid.cells.items()},
  )


def _of_lines(axis: Axis) -> _Map | None:
  lines = [line for line in axis.lines if len(line.values) >= _FEWEST]
  if len(lines) < _FEWEST:
    return None
  cells = {
    (f"{value:g}", traces.label(line.name)): variant
    for line in lines
    for value, variant in zip(line.values, line.variants, strict=True)
  }
  rows = [traces.label(line.name) for line in reversed(lines)]  # the first one on top
  title = f"{short(axis.field)}, a row a line"
  return _Map(title, axis.field, "", [f"{value:g}" for value in axis.values], rows, cells)


def _rewards(result: Comparison) -> dict[str, str]:
  present = scores.present(result)
  return {metric: present[metric] for metric in scores.primary(result)}


def _has_kl(result: Comparison) -> bool:
  return any(variant.final(KL) for variant in result.variants)


def _across(axis: Axis) -> Json:
  ticks = {"tickvals": axis.values, "ticktext": [f"{value:g}" for value in axis.values]}
  scale = {"type": "log"} if axis.is_log else {}
  if axis.from_zero:  # no logarithm has 0: side by side
    scale = {"type": "category", "categoryorder": "array", "categoryarray": axis.values}
  return traces.axis(axis.field, **ticks, **scale)


def _points(line: Line, index: int, metric: str, panel: int) -> Json:
  look = traces.style(index)
  finals = [variant.final(metric) for variant in line.variants]
  known = [(x, y, v.name) for x, y, v in zip(line.values, finals, line.variants, strict=True) if y]
  name = traces.label(line.name or "mean over seeds")
  return {
    "x": [x for x, _, _ in known],
    "y": [y.mean for _, y, _ in known],
    "error_y": {
      "type": "data",
      "array": [y.half_width or 0.0 for _, y, _ in known],
      "color": look.colour,
      "thickness": 1.5,
      "width": 4,
    },
    "mode": "lines+markers",
    "name": name,
    "legendgroup": f"line {index}",
    "showlegend": panel == 0,
    "line": {"color": look.colour, "dash": look.dash, "width": 2},
    "marker": {"symbol": look.marker, "size": 8, "color": look.colour},
    "text": [f"{traces.label(v)}<br>{traces.hover(y)}" for _, y, v in known],
    "hovertemplate": "%{text}<br>at %{x}<extra></extra>",
  } | traces.panel_of(panel)


def _drawn(one: _Map, metric: str) -> Json:
  finals = {cell: variant.final(metric) for cell, variant in one.cells.items()}
  means = [
    [found.mean if (found := finals.get((x, y))) else None for x in one.columns] for y in one.rows
  ]
  data = {
    "type": "heatmap",
    "x": one.columns,
    "y": one.rows,
    "z": means,
    "text": [["" if mean is None else number(mean) for mean in row] for row in means],
    "texttemplate": "%{text}",
    "colorscale": "Cividis",
    "hovertemplate": f"{short(one.x)} %{{x}}, {short(one.y)} %{{y}}: %{{text}}<extra></extra>",
    "colorbar": {"thickness": 12, "outlinewidth": 0},
  }
  across = traces.axis(one.x, type="category", showgrid=False)
  up = traces.axis(one.y, type="category", showgrid=False, automargin=True)
  return {
    "data": [data],
    "layout": traces.layout(
      140 + (48 if len(one.rows) < 8 else 30) * len(one.rows), xaxis=across, yaxis=up
    ),
  }
