"""Swept numbers as axes: which fields are one, and which variants make a line."""

import plotly.graph_objects as go

from comparing import swept, swept_plots
from tests.comparing.fake_sweep import compare, finished

REWARDS = {0: 0.3, 1: 0.4, 2: 0.5}


def variant(loss: str, **fields):
  name = "-".join([loss, *(f"{key}{value}" for key, value in fields.items())])
  sections: dict = {"algorithm": {"loss": loss}}
  for key, value in fields.items():
    section, _, field = key.rpartition("__")
    (sections.setdefault(section, {}) if section else sections)[field] = value
  return finished(name, REWARDS, **sections)


def lines(axis: swept.Axis) -> dict[str, tuple[float, ...]]:
  return {line.name: line.values for line in axis.lines}


def test_a_number_that_alone_differs_is_an_axis_with_a_line_for_each_other_factor():
  rates = (4e-4, 1e-4, 2e-4)
  result = compare(
    *(variant(loss, optimizer__learning_rate=r) for loss in ("dpo", "grpo") for r in rates)
  )
  (axis,) = swept.axes(result)
  assert axis.field == "optimizer.learning_rate" and axis.is_log
  assert lines(axis) == {"dpo": (1e-4, 2e-4, 4e-4), "grpo": (1e-4, 2e-4, 4e-4)}
  assert swept.grids(result) == []


def test_what_makes_up_for_a_number_does_not_break_its_line():
  equal_rollouts = [variant("grpo", group_size=k, batch_prompts=256 // k) for k in (2, 4, 8, 16)]
  (axis,) = swept.axes(compare(*equal_rollouts))
  assert axis.field == "group_size" and lines(axis) == {"": (2, 4, 8, 16)}
  equal_prompts = [variant("grpo", group_size=k, batch_prompts=32) for k in (2, 4, 16)]
  axis = swept.axes(compare(*equal_rollouts, *equal_prompts))[0]
  assert sorted(lines(axis).values()) == [(2, 4, 8, 16), (2, 4, 8, 16)]
  assert "batch_prompts=32" in lines(axis)


def test_numbers_that_only_go_with_the_algorithm_are_no_axis():
  a, b = (
    variant("dpo", optimizer__learning_rate=1e-4),
    variant("grpo", optimizer__learning_rate=2e-4),
  )
  assert swept.axes(compare(a, b)) == [] and swept_plots.along(compare(a, b)) is None


def test_an_axis_is_linear_where_it_holds_zero_or_is_short():
  for values, is_log in (((0.0, 0.1, 1.0), False), ((0.1, 0.2, 0.3), False), ((1, 2, 4), True)):
    (axis,) = swept.axes(compare(*(variant("dpo", algorithm__beta=beta) for beta in values)))
    assert axis.values == list(values) and axis.is_log == is_log


def test_two_fields_span_a_map_without_lines_across_it():
  result = compare(
    *(
      variant("dpo", optimizer__learning_rate=rate, algorithm__beta=beta)
      for rate in (1e-4, 2e-4, 4e-4)
      for beta in (0.05, 0.1, 0.2)
    )
  )
  (grid,) = swept.grids(result)
  assert {grid.x, grid.y} == {"optimizer.learning_rate", "algorithm.beta"} and len(grid.cells) == 9
  assert all(len(axis.lines) == 3 for axis in swept.axes(result))
  for plot in (swept_plots.along(result), swept_plots.over_two(result)):
    assert plot is not None
    for figure in plot.figures.values():
      go.Figure(figure)  # raises on a field or value that Plotly does not have


def test_two_values_are_left_to_the_table():
  result = compare(variant("grpo", group_size=2), variant("grpo", group_size=8))
  assert len(swept.axes(result)) == 1 and swept_plots.along(result) is None


def test_several_lines_along_a_number_are_a_map_as_well():
  lags = (0, 1, 4, 16)
  result = compare(
    *(variant(loss, sampling__lag=lag) for loss in ("dpo", "grpo", "topr") for lag in lags)
  )
  (axis,) = swept.axes(result)
  assert axis.from_zero and not axis.is_log
  plot = swept_plots.over_two(result)
  assert plot is not None
  figure = next(iter(plot.figures.values()))
  go.Figure(figure)  # Plotly takes it
  (drawn,) = figure["data"]
  assert drawn["x"] == ["0", "1", "4", "16"]
  assert drawn["y"] == ["topr", "grpo", "dpo"]  # from below: the first is on top
  assert [len(row) for row in drawn["z"]] == [4, 4, 4]
  curves = swept_plots.along(result)
  assert curves is not None
  assert next(iter(curves.figures.values()))["layout"]["xaxis"]["type"] == "category"
  two = compare(*(variant(loss, sampling__lag=lag) for loss in ("dpo", "grpo") for lag in lags))
  assert swept_plots.over_two(two) is None  # two lines are seen better as lines
