"""Writes a report about a sweep in W&B, and a saved view of its workspace, as code.

python -m experiments.wandb_report --sweep=quick --dry_run     shows what it would write; no login
python -m experiments.wandb_report --sweep=runs/quick          writes both; prints their addresses

The report opens with who won, in the words of the sweep's own page. Its panels are of the metrics
in the runs' metrics.jsonl: means over seeds with the standard error. The runs have to be in W&B
(trained online, `wandb sync`, or experiments.upload). Needs pip install -e ".[report]". Exit code:
0 written, 2 bad usage, or W&B refused.
"""

import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comparing import comparison, scores, verdict
from experiments.command_line import cli
from experiments.upload import runs_in
from training.errors import UserError
from training.records import files

FLAGS = {
  "sweep": ("", "the sweep: its folder, or its name in runs/"),
  "project": ("", "W&B project (default: the runs' config.wandb.project)"),
  "entity": ("", "W&B user or team (default: the runs' config.wandb.entity, or yours)"),
  "dry_run": (False, "print the sections and their panels, checked; write nothing"),
}

# section -> metric -> title; each line is drawn by step, those of the first section by rollouts too
SECTIONS = {
  "Reward on held-out prompts": {
    "eval/reward_sampled": "reward, sampled",
    "eval/reward": "reward, greedy",
  },
  "Held-out prompts": {
    "eval/pass@": "solved by one of several samples",  # pass@4, or whatever eval.samples is
    "eval/maj@": "solved by the most frequent answer",
    "eval/kl": "KL to the base policy, nats a response",
    "eval/entropy": "entropy",
    "eval/length": "tokens a response",
    "eval/finished": "responses with an end",
    "eval/accuracy": "pairs ranked right",
    "eval/implied_accuracy": "pairs ranked right by the implied reward",
  },
  "Training": {
    "train/reward": "reward",
    "train/loss": "loss",
    "train/entropy": "entropy",
    "train/kl": "KL to the reference",
    "train/grad_norm": "norm of the gradient",
    "train/clip_ratio/region_mean": "share of tokens that are clipped",
    "train/frac_reward_zero_std": "groups of equal rewards",
    "train/completions/mean_length": "tokens a response",
    "train/rewards/margins": "margin of the implied rewards",
    "train/rewards/accuracies": "pairs ranked right",
    "train/implied_rewards/best": "weight of the best response",
    "train/implied_rewards/worst": "weight of the worst response",
  },
}
STEP = "train/global_step"
_OTHERS = {"WeavePanelSummaryTable": "table of completions", "RunComparer": "configs side by side"}

Sections = dict[str, list[Any]]  # title -> panels


def main(argv: Sequence[str]) -> int:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs=None)
  if not flags.sweep:
    raise UserError("--sweep is required, e.g. --sweep=runs/quick (see --help)")
  if importlib.util.find_spec("wandb_workspaces") is None:
    raise UserError('needs wandb-workspaces: pip install -e ".[report]"')
  folder = folder_of(flags.sweep)
  runs = runs_in(folder)
  metrics = {key for run in runs for row in run.read_metrics() for key in row}
  about = runs[0].read_config()
  wandb = about["config"].get("wandb", {})
  where = {
    "project": flags.project or wandb.get("project", "counterpoint"),
    "entity": flags.entity or wandb.get("entity", ""),
  }
  if not where["entity"]:
    where["entity"] = "you" if flags.dry_run else default_entity()
  name = files.read_json(os.path.join(folder, "sweep.json"), {"name": str})["name"]
  sections = panels_of(metrics)
  told = verdict_of(folder)
  if flags.dry_run:
    report_of(name, sections, where, told, asks_wandb=False)._to_model()  # refuses what W&B would
    view_of(name, sections, where)._to_model()
    print("\n".join(outline(name, sections, where, told)))
    return 0
  for thing in (report_of(name, sections, where, told), view_of(name, sections, where)):
    try:
      thing.save()
    except Exception as error:  # W&B's, whatever it is
      reason = " ".join(str(error).split())
      raise UserError(f"W&B took no {type(thing).__name__.lower()}: {reason}") from None
    print(thing.url)
  return 0


def folder_of(sweep: str) -> str:
  """Returns the sweep's folder, given that or a name in runs/. UserError if there is none."""
  for folder in (sweep, os.path.join("runs", sweep)):
    if os.path.exists(os.path.join(folder, "sweep.json")):
      return folder
  raise UserError(f"--sweep={sweep}: no sweep's folder there, nor in runs/ (it has a sweep.json)")


def default_entity() -> str:
  """Returns the W&B user who is logged in. UserError if nobody is."""
  import wandb

  try:
    return wandb.Api().default_entity or ""
  except Exception as error:
    reason = " ".join(str(error).split())
    raise UserError(f"W&B: {reason} (--dry_run needs no login)") from None


def verdict_of(folder: str) -> list[str]:
  """Returns who won, in sentences; [] while no run has finished."""
  found = verdict.verdict(comparison.read(folder))
  return verdict.sentences(found) if found else []


def panels_of(metrics: Iterable[str]) -> Sections:
  """Returns the panels of these metrics, by section. UserError if there is nothing to draw."""
  import wandb_workspaces.reports.v2 as wr

  there = set(metrics)
  lines = {title: _found(wanted, there) for title, wanted in SECTIONS.items()}
  sections: Sections = {
    title: [_line(metric, label) for metric, label in found.items()]
    for title, found in lines.items()
    if found
  }
  if not sections:
    raise UserError("the runs have none of the metrics that a report draws yet")
  first = next(iter(SECTIONS))
  if "rollouts" in there and lines[first]:
    sections[first] += [
      _line(metric, f"{label}, by rollouts", "rollouts") for metric, label in lines[first].items()
    ]
  frontier = [
    wr.ScatterPlot(
      title=f"{label} against KL",
      x=wr.SummaryMetric("final/kl"),
      y=wr.SummaryMetric(metric.replace("eval/", "final/")),
    )
    for metric, label in lines[first].items()
    if "eval/kl" in there
  ]
  if frontier:
    sections["Reward against KL, at the end of each run"] = frontier
  sections["Completions"] = [wr.WeavePanelSummaryTable(table_name="completions")]
  sections["What differs"] = [wr.RunComparer(diff_only="split")]
  return sections


def report_of(
  name: str,
  sections: Sections,
  where: Mapping[str, str],
  told: Sequence[str] = (),
  asks_wandb: bool = True,
) -> Any:
  """Makes the report, which opens with what is `told`.

  Without asks_wandb its sets of runs name no project: that would ask W&B.
  """
  import wandb_workspaces.reports.v2 as wr

  about = f"Runs of the sweep {name}, grouped by variant: means over seeds, standard errors."
  blocks: list[Any] = [wr.P(text=text) for text in (*told, about)]
  place: dict[str, Any] = dict(where) if asks_wandb else {}
  for title, panels in sections.items():
    runs = wr.Runset(
      name=name, filters=f"Config('sweep') == '{name}'", groupby=["config.variant"], **place
    )
    blocks += [wr.H2(text=title), wr.PanelGrid(runsets=[runs], panels=panels)]
  return wr.Report(title=f"{name}: a comparison", blocks=blocks, width="fluid", **where)


def view_of(name: str, sections: Sections, where: Mapping[str, str]) -> Any:
  """Makes a saved view of the project's workspace: the same panels, of this sweep's runs."""
  import wandb_workspaces.workspaces as ws

  runs = ws.RunsetSettings(filters=f"Config('sweep') == '{name}'", groupby=[ws.Config("variant")])
  shown = [ws.Section(name=title, panels=panels) for title, panels in sections.items()]
  settings = ws.WorkspaceSettings(x_axis=STEP)
  return ws.Workspace(
    name=f"sweep {name}", sections=shown, settings=settings, runset_settings=runs, **where
  )


def outline(
  name: str, sections: Sections, where: Mapping[str, str], told: Sequence[str]
) -> list[str]:
  """Describes the report and the view, a line a panel."""
  place = "/".join(filter(None, (where["entity"], where["project"])))
  lines = [f"report '{name}: a comparison' and workspace view 'sweep {name}', in {place}"]
  lines += told
  for title, panels in sections.items():
    lines.append(title)
    lines += [
      f"  {getattr(panel, 'title', None) or _OTHERS[type(panel).__name__]}" for panel in panels
    ]
  return lines


def _found(wanted: Mapping[str, str], there: set[str]) -> dict[str, str]:
  """Returns the wanted metrics that exist; a name with "@" at its end is of the most samples."""
  return {
    metric: label
    for name, label in wanted.items()
    for metric in (scores.of_most(there, name) if name.endswith("@") else {name} & there)
  }


def _line(metric: str, title: str, x: str = STEP) -> Any:
  import wandb_workspaces.reports.v2 as wr

  return wr.LinePlot(
    title=title, x=x, y=[metric], groupby_aggfunc="mean", groupby_rangefunc="stderr"
  )


if __name__ == "__main__":
  cli.run(main)
