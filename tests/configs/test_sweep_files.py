"""The sweep files that ship: each can be planned, and says what it costs and shows."""

import collections
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.other_baselines import remax
from algorithms.reinforce import reinforce
from configs.sweeps.remax import from_greedy
from experiments.sweeping import plan

FOLDER = pathlib.Path("configs/sweeps")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
NEEDS_MORE = {"frontier", "grpo_then_dpo"}  # a folder that the user names; the runs of quick.py
OF_ONE_BUDGET = ["beta", "clip", "staleness", "kl_estimators", "baselines", "remax"]


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
  out = tmp_path_factory.mktemp("runs")
  return {
    name: plan.make(str(FOLDER / f"{name}.py"), {}, str(out / name))
    for name in NAMES
    if name not in NEEDS_MORE
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


@pytest.mark.parametrize(
  "name", ["beta", "clip", "staleness", "kl_estimators", "baselines", "remax"]
)
def test_what_is_compared_has_one_budget(plans, name):
  assert len(set(rollouts(plans[name]).values())) == 1
  updates = {
    run.config["steps"] * run.config["minibatches"] * run.config["inner_epochs"]
    for run in plans[name].runs
  }
  assert len(updates) == 1


def test_compare_gives_all_the_same_rollouts_and_updates(plans):
  budgets = rollouts(plans["compare"])
  assert budgets.pop("sft") == 0  # demonstrations
  assert set(budgets.values()) == {8_192}
  for run in plans["compare"].runs:
    assert run.most_rollouts == run.rollouts
    assert run.config["steps"] * run.config["minibatches"] * run.config["inner_epochs"] == 32


def test_takes_two_compares_at_equal_rollouts_and_at_equal_prompts(plans):
  budgets = rollouts(plans["takes_two"])
  assert {budgets[f"grpo-k{k}-equal-rollouts"] for k in (2, 4, 8)} == {budgets["grpo-k16"]}
  assert [budgets["grpo-k16"] // budgets[f"grpo-k{k}-equal-prompts"] for k in (2, 4, 8)] == [
    8,
    4,
    2,
  ]


def test_takes_twos_own_protocol_is_an_eighth_of_the_rollouts_in_updates_as_large(plans):
  by_name = {run.variant: run for run in plans["takes_two"].runs}
  papers, large = by_name["grpo-k2-paper"], by_name["grpo-k16"]
  assert (
    8 * papers.rollouts == large.rollouts and 8 * papers.config["steps"] == large.config["steps"]
  )
  sizes = [run.rollouts // run.config["steps"] for run in (papers, large)]
  rates = [run.config["optimizer"]["learning_rate"] for run in (papers, large)]
  assert sizes[0] == sizes[1] and rates[0] == 8 * rates[1]


@pytest.mark.parametrize("k", [1, 7])
def test_remax_is_taken_apart_without_a_rest(k):
  random = np.random.default_rng(0)
  rewards, greedy = jnp.array(random.random((6, k))), jnp.array(random.random(6))
  mask = jnp.array(np.arange(5) < random.integers(1, 6, (6, k, 1)))

  def gradient(loss, **more):
    def value(logps):
      return loss(logps=logps, rewards=rewards, mask=mask, **more)[0]

    return jax.grad(value)(jnp.full((6, k, 5), -1.0))

  whole = gradient(from_greedy, greedy_rewards=greedy)
  neither = gradient(from_greedy, greedy_rewards=greedy, shape=0.0, height=0.0)
  np.testing.assert_allclose(whole, gradient(remax, greedy_rewards=greedy), atol=1e-7)
  np.testing.assert_allclose(neither, gradient(reinforce), atol=1e-7)
  assert np.abs(whole - neither).max() > 1e-3
