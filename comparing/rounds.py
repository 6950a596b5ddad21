"""Deployments in the report: the result of each round, and how stale its data had become."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from comparing import plots, traces
from comparing.comparison import Comparison
from comparing.plots import Plot
from comparing.runs import Run, value
from comparing.traces import Json, Style
from rounds.deployment import Deployment, Round

_PANELS = {
  "round/reward_sampled": "held-out reward, sampled",
  "round/kl": "KL to the first policy, nats a response",
  "round/effective_share": "effective share of the round's data",
}


@dataclasses.dataclass(frozen=True)
class Table:
  """The rounds of one deployment."""

  variant: str  # the deployment's name in the comparison
  run: Run
  rounds: tuple[Round, ...]

  @property
  def deployed(self) -> int:
    return sum(round_.verdict["deployed"] for round_ in self.rounds)


def tables(result: Comparison) -> list[Table]:
  """Returns a table for each run that is a deployment with a finished round."""
  found = [
    Table(variant.name, run, tuple(Deployment(run.folder.path).finished))
    for variant in result.variants
    for run in variant.runs
    if run.config.get("source") == "rounds"
  ]
  return [table for table in found if table.rounds]


def by_round(result: Comparison) -> Plot | None:
  """Draws the results of each round's own policy, with a filled mark if it was deployed."""
  named = [(v, look) for v, look in plots.styled(result) if any(map(_own_rows, v.runs))]
  if not named:
    return None
  data = []
  for panel, metric in enumerate(_PANELS):
    for variant, look in named:
      lines = [_line(run, look, metric) for run in variant.runs if _own_rows(run)]
      for index, line in enumerate(lines):
        shared = {"legendgroup": variant.name, "name": traces.label(variant.name)}
        is_first = panel == 0 and index == 0
        data.append(line | shared | traces.panel_of(panel) | {"showlegend": is_first})
  look = plots.panels(list(_PANELS.values()))
  return Plot(
    "rounds", "Reward, KL and staleness by round.", {}, {"": {"data": data, "layout": look}}
  )


def _own_rows(run: Run) -> Sequence[dict]:
  """Returns the rows of rounds that were evaluated; rounds that diverged were not."""
  rewards = "round/reward_sampled"
  known = np.isfinite(run.rows.values(rewards))
  return [run.rows[index] for index in run.rows.where(rewards)[known].tolist()]


def _line(run: Run, look: Style, metric: str) -> Json:
  rows = _own_rows(run)
  symbols = [look.marker + ("" if row["round/deployed"] else "-open") for row in rows]
  words = ["deployed" if row["round/deployed"] else "refused" for row in rows]
  return {
    "x": [row["round/number"] for row in rows],
    "y": [value(row, metric) for row in rows],
    "mode": "lines+markers",
    "line": {"color": look.tint(0.6), "dash": look.dash, "width": 1.4},
    "marker": {"symbol": symbols, "size": 9, "color": look.colour},
    "text": words,
    "hovertemplate": f"%{{y:.3f}}, round %{{x}} %{{text}}, seed {run.seed}",
  }
