"""Who won: the order, the marks against the best, the gains, and the sentence about them."""

import csv
import dataclasses
import io

import pytest

from comparing import comparison, verdict
from comparing.comparison import KL, REWARD, SAMPLED
from comparing.verdict import Verdict
from comparing.verdict_table import Forest, as_csv, as_latex
from tests.comparing import fake_sweep
from tests.comparing.fake_sweep import compare, finished
from training.records.metric_columns import Columns


def judged(*variants) -> Verdict:
  found = verdict.verdict(compare(*variants))
  assert found is not None
  return found


def with_kl(name: str, rewards: dict[int, float], kl: float):
  variant = finished(name, rewards)
  runs = []
  for run in variant.runs:
    *first, last = run.rows
    runs.append(dataclasses.replace(run, rows=Columns([*first, last | {KL: kl}])))
  return dataclasses.replace(variant, runs=tuple(runs))


def near(mean: float) -> dict[int, float]:
  return {0: mean - 0.01, 1: mean + 0.013, 2: mean - 0.003}


def test_rows_are_in_the_order_of_the_score_with_marks_and_gains():
  c, d = {0: 0.30, 1: 0.29, 2: 0.32}, {0: 0.2, 1: 0.6, 2: 0.5}
  found = judged(finished("c", c), finished("a", near(0.6)), finished("d", d))
  assert [(row.rank, row.variant.name, row.sign) for row in found.rows] == [
    *((1, "a", "▲"), (2, "d", "="), (3, "c", "▼")),
  ]
  assert [row.gain is not None and row.gain.is_clear for row in found.rows] == [True, False, True]
  assert verdict.sentences(found) == [
    "Best: a (0.600 ± 0.029); level with it: d; clearly below: c.",
    "Clear gains over the base policy (0.000): a and c.",
  ]


def test_what_is_clearly_below_is_named():
  up = {0: 0.60, 1: 0.61, 2: 0.605}
  down = {0: 0.30, 1: 0.309, 2: 0.306}
  found = judged(finished("a", up), finished("b", down))
  assert [row.mark for row in found.rows] == ["best", "clearly below the best"]
  assert verdict.sentences(found) == [
    "Best: a (0.605 ± 0.012); clearly below: b.",
    "All 2 gain clearly over the base policy (0.000).",
  ]


def test_a_variant_close_to_the_best_at_a_third_of_its_kl_is_named():
  found = judged(with_kl("a", near(0.42), 0.9), with_kl("b", near(0.39), 0.31))
  assert verdict.sentences(found)[0].endswith("; b reaches 0.390 at a third of the best’s KL.")
  for reward, kl in ((0.39, 0.7), (0.2, 0.1)):  # no saving; too little reward
    found = judged(with_kl("a", near(0.42), 0.9), with_kl("b", near(reward), kl))
    assert "reaches" not in verdict.sentences(found)[0]


def test_no_gain_is_said():
  found = judged(finished("a", {0: -0.1, 1: 0.2, 2: 0.05}))
  assert verdict.sentences(found)[1] == "No variant gains clearly over the base policy (0.000)."


def test_without_seeds_or_prompts_the_order_is_all_there_is():
  found = judged(finished("a", {0: 0.3}), finished("b", {0: 0.5}))
  assert [(row.variant.name, row.mark, row.over) for row in found.rows] == [
    ("b", "", ""),
    ("a", "", ""),
  ]
  assert verdict.sentences(found) == ["Best: b (0.500, n=1); ranked below without a test: a."]


@pytest.fixture
def one_seed(tmp_path):
  names = ("grpo-k2", "grpo-k8", "dpo-online")
  folder = fake_sweep.write(tmp_path / "one", variants=names, seeds=(0,))
  shares = {"grpo-k2-s0": 0.72, "grpo-k8-s0": 0.7, "dpo-online-s0": 0.3}
  fake_sweep.write_prompts(folder, shares)
  return folder


def test_one_seed_is_judged_over_the_prompts(one_seed):
  found = verdict.verdict(comparison.read(one_seed))
  assert found is not None and (found.metric, found.prompts) == (SAMPLED, 200)
  assert [(row.sign, row.over) for row in found.rows] == [
    *(("▲", "prompts"), ("=", "prompts"), ("▼", "prompts")),
  ]
  for row in found.rows:
    assert row.gain is not None and row.gain.is_clear and row.gain.over == "prompts"
    assert row.interval is not None and row.interval[0] < row.score.mean < row.interval[1]


def test_a_variant_of_one_seed_among_others_of_three_is_judged_over_the_prompts(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"))
  fake_sweep.write_run(folder, "dpo-online", 0)
  runs = [f"{name}-s{seed}" for name in ("grpo-k2", "grpo-k8") for seed in range(3)]
  listed = [{"name": run, "variant": run[:-3]} for run in [*runs, "dpo-online-s0"]]
  fake_sweep.write_sweep(folder, listed)
  shares = {run: 0.7 + 0.01 * i for i, run in enumerate(runs)} | {"dpo-online-s0": 0.3}
  fake_sweep.write_prompts(folder, shares)
  found = verdict.verdict(comparison.read(folder))
  assert found is not None and found.over("seeds") and found.over("prompts")
  assert [(row.variant.name, row.over) for row in found.rows][2] == ("dpo-online", "prompts")
  assert found.rows[2].sign == "▼"


def test_the_headline_is_the_sampled_reward_and_else_what_there_is(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2",))
  found = verdict.verdict(comparison.read(folder))
  assert found is not None and found.metric == SAMPLED
  assert judged(finished("a", near(0.5))).metric == REWARD


def test_the_forest_plot_holds_all_that_is_drawn():
  found = judged(finished("a", near(0.5)), finished("b", {0: 0.7}))
  forest = Forest.of(found)
  assert forest == Forest(0.0, 0.7)  # from the base policy to the seed without an interval
  assert [forest.at(x) for x in (0.0, 0.35, 0.7)] == ["8.00%", "50.00%", "92.00%"]
  assert Forest(0.5, 0.5).at(0.5) == "50.00%"


def test_the_copied_texts_have_every_row():
  found = judged(with_kl("a_1", near(0.6), 0.5), with_kl("b", {0: 0.7}, 0.25))
  first, second = csv.DictReader(io.StringIO(as_csv(found)))
  assert (first["variant"], float(first["reward"]), first["low"]) == ("b", 0.7, "")
  assert (second["rank"], float(second["kl"]), second["clear gain"]) == ("2", 0.5, "True")
  latex = as_latex(found)
  assert r"1 & \textbf{b} & $0.700$ & $+0.700$ & $0.250$ \\" in latex
  assert r"2 & a\_1 & $0.600 \pm 0.029$ & $+0.600$ & $0.500$ \\" in latex
