"""The W&B report and view: built as code and checked without a login."""

import json

import pytest

from comparing import comparison, finding
from experiments import wandb_report
from tests.comparing import fake_sweep
from training.errors import UserError
from training.records.run_folder import RunFolder

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own
WHERE = {"entity": "nobody", "project": "nothing"}


@pytest.fixture
def sweep(tmp_path):
  return fake_sweep.write(tmp_path / "quick", variants=("dpo-offline", "grpo-k8"), seeds=(0,))


def drawn(sections):
  """The metrics that the panels name."""
  found = set()
  for panels in sections.values():
    for panel in panels:
      if type(panel).__name__ == "LinePlot":
        found |= {panel.x, *panel.y}
      elif type(panel).__name__ == "ScatterPlot":
        found |= {panel.x.name, panel.y.name}
  return found


def test_panels_are_only_of_metrics_that_the_runs_have(sweep):
  rows = RunFolder(f"{sweep}/grpo-k8-s0").read_metrics()
  there = {key for row in rows for key in row}
  sections = wandb_report.panels_of(there)
  sent = there | {wandb_report.STEP} | {key.replace("eval/", "final/") for key in there}
  assert drawn(sections) <= sent
  assert {"eval/reward", "eval/pass@4", "train/clip_ratio/region_mean"} <= drawn(sections)
  assert "eval/kl" not in drawn(wandb_report.panels_of(["eval/reward", "train/loss"]))


def test_every_metric_of_a_panel_is_one_that_training_logs():
  """Their names are written out, or made of a prefix and a name that is."""
  import pathlib

  code = "".join(
    path.read_text()
    for folder in ("algorithms", "training")
    for path in pathlib.Path(folder).rglob("*.py")
  )
  for wanted in wandb_report.SECTIONS.values():
    for metric in wanted:
      assert metric.partition("/")[2] in code or metric in code, metric


def test_report_and_view_are_models_of_this_sweeps_runs(sweep):
  sections = wandb_report.panels_of(["eval/reward", "eval/kl", "rollouts", "train/loss"])
  said = ["Best: grpo-k8."]
  report = wandb_report.report_of("quick", said, sections, WHERE, asks_wandb=False)
  text = report._to_model().model_dump_json()
  assert "eval/reward" in text and "variant" in text
  assert report.blocks[0].text == said[0]
  view = wandb_report.view_of("quick", sections, WHERE)
  text = json.dumps(view._to_model().model_dump(mode="json"), default=str)
  assert "sweep quick" in text and "eval/reward" in text


def test_a_dry_run_lists_the_panels_without_a_login(sweep, capsys, monkeypatch):
  monkeypatch.delenv("WANDB_API_KEY", raising=False)
  assert wandb_report.main([f"--sweep={sweep}", "--dry_run"]) == 0
  out = capsys.readouterr().out
  assert "\n".join(finding.sentences(comparison.read(sweep))) in out
  assert "'quick: a comparison'" in out and "  reward, greedy, by rollouts" in out
  assert "  table of completions" in out


def test_a_name_is_looked_up_in_runs(sweep, monkeypatch, tmp_path):
  (tmp_path / "runs").mkdir()
  (tmp_path / "quick").rename(tmp_path / "runs" / "quick")
  monkeypatch.chdir(tmp_path)
  assert wandb_report.folder_of("quick") == "runs/quick"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "--sweep is required"),
    (["--sweep=nowhere"], "--sweep=nowhere: no sweep's folder there"),
  ],
)
def test_bad_usage_is_a_line(words, message):
  with pytest.raises(UserError, match=message):
    wandb_report.main(words)


def test_runs_with_nothing_to_draw_are_an_error():
  with pytest.raises(UserError, match="none of the metrics"):
    wandb_report.panels_of(["step", "seconds"])
