"""The sweep files that ship: each can be planned, and says what it costs and shows."""

import collections
import pathlib

import pytest

from experiments.sweeping import plan

FOLDER = pathlib.Path("configs/sweeps")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
NEEDS_A_MODEL = {"frontier"}  # a folder that the user names


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
  out = tmp_path_factory.mktemp("runs")
  return {
    name: plan.make(str(FOLDER / f"{name}.py"), {}, str(out / name))
    for name in NAMES
    if name not in NEEDS_A_MODEL
  }


def rollouts(sweep):
  return {run.variant: run.rollouts for run in sweep.runs}


def test_no_run_is_planned_twice_and_every_variant_has_as_many_seeds(plans):
  for name, sweep in plans.items():
    assert not sweep.repeats, name
    seeds = collections.Counter(run.variant for run in sweep.runs)
    assert len(set(seeds.values())) == 1 and min(seeds.values()) >= 3, name


def test_the_first_seed_of_all_variants_comes_before_the_second(plans):
  for name, sweep in plans.items():
    seeds = [run.config["seed"] for run in sweep.runs]
    assert seeds == sorted(seeds), name


@pytest.mark.parametrize("name", ["beta", "clip", "staleness", "kl_estimators", "baselines"])
def test_what_is_compared_has_one_budget(plans, name):
  assert set(rollouts(plans[name]).values()) == {15_360}
  updates = {
    run.config["steps"] * run.config["minibatches"] * run.config["inner_epochs"]
    for run in plans[name].runs
  }
  assert len(updates) == 1


def test_compare_gives_all_the_same_rollouts_and_updates(plans):
  budgets = rollouts(plans["compare"])
  assert budgets.pop("sft") == 0  # demonstrations
  assert set(budgets.values()) == {15_360}
  for run in plans["compare"].runs:
    assert run.most_rollouts == run.rollouts
    assert run.config["steps"] * run.config["minibatches"] * run.config["inner_epochs"] == 60


def test_takes_two_compares_at_equal_rollouts_and_at_equal_prompts(plans):
  budgets = rollouts(plans["takes_two"])
  assert {budgets[f"grpo-k{k}-equal-rollouts"] for k in (2, 4, 8)} == {budgets["grpo-k16"]}
  assert [budgets["grpo-k16"] // budgets[f"grpo-k{k}-equal-prompts"] for k in (2, 4, 8)] == [
    8,
    4,
    2,
  ]
