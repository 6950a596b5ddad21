"""A tuned comparison in the report: response curves, ranges and effort."""

import json
import re

import plotly.graph_objects as go
import pytest

from comparing import tuning, tuning_page
from experiments import report
from tests.comparing import fake_sweep

RATE, BETA = "optimizer.learning_rate", "algorithm.beta"


def trial(number, values, outcome, score, kl=0.2):
  run = {"name": f"t{number}-s1000", "seed": 1000, "step": 16 if outcome == "pruned" else 64}
  about = {"number": number, "values": values, "outcome": outcome, "score": score}
  return about | {"greedy": None, "kl": kl, "runs": [run | {"score": score}]}


def variant(space, trials, best):
  return {
    "best": trials[best]["values"] if best is not None else None,
    "best_trial": best,
    "space": space,
    "before": dict.fromkeys(space, 0.1),
    "runs": len(trials),
    "steps": sum(run["step"] for one in trials for run in one["runs"]),
    "trials": trials,
  }


def results():
  rates = {"low": 5e-5, "high": 1e-3, "log": True}
  dpo = [
    trial(0, {RATE: 2e-4, BETA: 0.1}, "complete", 0.4),
    trial(1, {RATE: 8e-4, BETA: 0.3}, "pruned", 0.3),
    trial(2, {RATE: 4e-4, BETA: 0.1}, "complete", 0.45),
    trial(3, {RATE: 1e-3, BETA: 0.1}, "diverged", None, kl=None),
  ]
  grpo = [trial(0, {RATE: 2e-4}, "complete", 0.41), trial(1, {RATE: 1e-4}, "pruned", 0.35)]
  return {
    "sweep": "configs/sweeps/<b>mine.py",
    "score": "eval/reward_sampled",
    "seeds": [1000, 1001],
    "variants": {
      "dpo-offline": variant({RATE: rates, BETA: [0.1, 0.3]}, dpo, 2),
      "grpo-k2": variant({RATE: rates}, grpo, 0),
    },
  }


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "best.json").write_text(json.dumps(results()))
  return str(tmp_path)


def test_each_trial_is_a_point_and_those_stopped_early_are_hollow():
  plot = tuning.response_curves(results())
  assert plot and plot.switches == {
    "Field": {RATE: RATE, BETA: BETA},
    "Show": {"score": "reward, sampled", "kl": "KL"},
  }
  for figure in plot.figures.values():
    go.Figure(figure)  # raises on a field or value that Plotly does not have
  figure = plot.figures[f"{RATE}|score"]
  dpo = [trace for trace in figure["data"] if trace["xaxis"] == "x"]
  points = {trace["marker"]["symbol"]: [] for trace in dpo}
  for trace in dpo:
    points[trace["marker"]["symbol"]] += zip(trace["x"], trace["y"], strict=True)
  assert points["circle"] == [(2e-4, 0.4), (4e-4, 0.45)]
  assert points["circle-open"] == [(4e-4, 0.45), (8e-4, 0.3)]  # the ring of the best, and hollow
  assert figure["layout"]["xaxis"]["type"] == "log"
  assert [note["text"] for note in figure["layout"]["annotations"]] == ["dpo-offline", "grpo-k2"]


def test_a_field_has_panels_for_the_variants_that_it_was_tuned_for():
  plot = tuning.response_curves(results())
  assert plot
  figure = plot.figures[f"{BETA}|kl"]
  assert [note["text"] for note in figure["layout"]["annotations"]] == ["dpo-offline"]
  assert "type" not in figure["layout"]["xaxis"]


def test_the_page_says_what_was_tuned_over_what_at_what_cost(folder):
  page = tuning_page.render(folder)
  own = " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.S).split())
  assert "<b>mine" not in own and "&lt;b&gt;mine" in own
  assert "seeds 1000, 1001, which no comparison uses: 6 runs and 288 steps in all" in own
  assert "<td>5e-05 to 0.001, log</td><td>0.1</td><td><b>0.0004</b></td>" in own
  assert "2 complete, 1 pruned, 1 diverged" in own and "1 complete, 1 pruned" in own
  assert own.count("<td>pruned</td>") == 2 and "<td>diverged</td>" in own


def test_a_comparison_at_tuned_values_shows_the_tune(tmp_path):
  path = fake_sweep.write(tmp_path / "quick", variants=("dpo-offline", "grpo-k2"), seeds=(0,))
  with open(report.write(path)) as file:
    assert "How it was tuned" not in file.read()
  (tmp_path / "quick" / "best.json").write_text(json.dumps(results()))
  with open(report.write(path)) as file:
    page = file.read()
  assert page.count("How it was tuned") == 1 and 'href="#tuning"' in page


def test_a_variant_without_a_best_is_shown_as_such(tmp_path):
  found = results()
  one = found["variants"]["grpo-k2"]
  found["variants"]["grpo-k2"] = variant(
    one["space"], [trial(0, {RATE: 1e-3}, "failed", None)], None
  )
  (tmp_path / "best.json").write_text(json.dumps(found))
  page = tuning_page.render(str(tmp_path))
  assert "<b>—</b>" in page and "1 failed" in page
