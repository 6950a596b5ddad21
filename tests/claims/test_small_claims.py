"""Claims tried in the small world: their own sums by hand, and verdicts that follow the numbers."""

import numpy as np
import pytest

from claims import best_of_k, clip_and_ratio, grpo_then_dpo, optimal_baseline, semi_online
from claims.claim import DOES_NOT_HOLD, HOLDS
from claims.small_results import Runs

SEEDS = 0.002 * np.array([-1.0, 0.0, 1.0, 2.0])  # the luck of four seeds, the same for all variants


def runs_that_end_at(ends: dict[str, float]) -> dict[str, Runs]:
  """Runs that solve so much at the end, with a little noise of their own."""
  found = {}
  for i, (name, end) in enumerate(ends.items()):
    luck = SEEDS + 1e-4 * np.random.default_rng(i).normal(size=4)
    solved = 0.5 + (end - 0.5 + luck)[:, None] * np.linspace(0, 1, 9)
    found[name] = Runs(np.arange(9), solved, solved, solved, {})
  return found


# --- optimal_baseline -----------------------------------------------------------------------------


def test_the_optimal_baseline_by_hand():
  """Rewards (1, 0), equally likely, squared scores 1 and 3: b* = 1/4; lengths 1 and 1."""
  half, ones = np.full(2, 0.5), np.ones(2)
  world = optimal_baseline.Responses(half, ones, np.array([1.0, 0.0]), np.array([1.0, 3.0]))
  found = optimal_baseline.variances_of(world)
  assert found["none"] == pytest.approx(1 / 2)
  assert found["group mean"] == found["length-weighted"] == pytest.approx((1 / 4 + 3 / 4) / 2)
  assert found["optimal"] == pytest.approx((9 / 16 + 3 / 16) / 2)
  assert (found["right"], found["wrong"]) == pytest.approx((1, 3))


def test_a_tabular_world_has_all_sequences_and_the_squares_of_their_scores():
  world = optimal_baseline.tabular_world("rewards of long responses", seed=0)
  assert len(world.chance) == 511 and world.chance.sum() == pytest.approx(1)
  (policy,) = np.random.default_rng(0).dirichlet(np.ones(3), size=1)
  assert world.chance[0] == pytest.approx(policy[0]) and world.length[0] == 1
  assert world.square[0] == pytest.approx(((np.eye(3)[0] - policy) ** 2).sum())
  longer = world.length[world.reward == 1].min()
  assert longer > world.length[world.reward == 0].max()


def test_the_baselines_verdict_follows_variance_and_training():
  def variances(length_weighted: float):
    kinds = (*optimal_baseline.REWARDS, optimal_baseline.TRANSFORMER)
    luck = np.random.default_rng(0).uniform(0.99, 1.01, size=9)
    base = {"none": 2.0, "group mean": 1.2, "optimal": 1.0, "right": 1.0, "wrong": 2.0}
    return {kind: [base | {"length-weighted": length_weighted * x} for x in luck] for kind in kinds}

  def ends(opo: float):
    return runs_that_end_at({"group mean": 0.6, "length-weighted (opo)": opo, "no baseline": 0.6})

  finding_of = optimal_baseline.finding_of
  assert finding_of(variances(1.1), ends(0.62)).verdict == HOLDS
  assert finding_of(variances(1.1), ends(0.6)).verdict.startswith("holds under its first half")
  assert finding_of(variances(1.3), ends(0.62)).verdict == DOES_NOT_HOLD
  tabular = variances(1.1) | {
    optimal_baseline.TRANSFORMER: variances(1.3)[optimal_baseline.REWARDS[0]]
  }
  assert "grow with length" in finding_of(tabular, ends(0.6)).verdict


# --- best_of_k ------------------------------------------------------------------------------------


def test_pass_at_k_of_solve_rates_by_hand():
  rates = np.array([[0.5, 0.0], [1.0, 0.5]])
  np.testing.assert_allclose(best_of_k.pass_at(rates, 2), [0.375, 0.875])


def test_pass_at_k_holds_only_with_both_halves():
  def rates(one: list[float], several: list[float]):
    """Solve rates of two words at the end, trained for pass@1 and for pass@k."""
    found = {}
    for policy in best_of_k.POLICIES:
      for loss in (best_of_k.ONE, *best_of_k.TRAINED_FOR):
        end = np.array(one if loss == best_of_k.ONE else several)
        found[f"{loss}, {policy}"] = np.stack([np.stack([[0.5, 0.5], end + x]) for x in SEEDS / 10])
    return found

  uneven, even = [0.9, 0.1], [0.45, 0.45]
  assert best_of_k.finding_of(rates(uneven, even)).verdict == HOLDS
  assert best_of_k.finding_of(rates(even, even)).verdict == DOES_NOT_HOLD
  better = best_of_k.finding_of(rates(uneven, [0.6, 0.6])).verdict
  assert better.startswith("holds under its first half")


# --- semi_online ----------------------------------------------------------------------------------


def semi_online_runs(by_period: list[float]) -> dict[str, Runs]:
  names = [semi_online._name(loss, s) for loss in semi_online.LOSSES for s in semi_online.PERIODS]
  return runs_that_end_at(dict(zip(names, 2 * by_period, strict=True)))


def test_semi_online_holds_where_little_is_lost():
  verdict = semi_online.finding_of(semi_online_runs([0.6, 0.6, 0.59, 0.58, 0.55])).verdict
  assert verdict == HOLDS
  some = semi_online.finding_of(semi_online_runs([0.6, 0.6, 0.57, 0.56, 0.55])).verdict
  assert some == "holds under dpo with s = 4 and grpo with s = 4"
  none = semi_online.finding_of(semi_online_runs([0.6, 0.57, 0.56, 0.55, 0.55])).verdict
  assert none == DOES_NOT_HOLD


# --- clip_and_ratio -------------------------------------------------------------------------------


@pytest.mark.parametrize(
  "fast, verdict",
  [
    ((0.6, 0.6, 0.5, 0.5), HOLDS),
    ((0.6, 0.55, 0.5, 0.5), "holds under its first half alone"),
    ((0.6, 0.6, 0.6, 0.6), "holds under its second half alone"),
    ((0.6, 0.6, 0.6, 0.5), "holds under losses without a ratio"),
    ((0.6, 0.55, 0.6, 0.5), DOES_NOT_HOLD),
  ],
)
def test_what_stabilises_follows_the_runs(fast, verdict):
  slow, rapid = clip_and_ratio.RATES
  ends = {f"{loss}, rate {slow:g}": 0.6 for loss in clip_and_ratio.CLIP_AND_RATIO}
  ends |= dict(
    zip((f"{loss}, rate {rapid:g}" for loss in clip_and_ratio.CLIP_AND_RATIO), fast, strict=True)
  )
  ends["clip alone, rate 0.0003"] = 0.61  # so that luck does not decide
  assert clip_and_ratio.finding_of(runs_that_end_at(ends)).verdict.startswith(verdict)


# --- grpo_then_dpo --------------------------------------------------------------------------------


@pytest.mark.parametrize("offline, verdict", [(0.6, HOLDS), (0.57, DOES_NOT_HOLD)])
def test_grpo_then_dpo_holds_where_it_loses_little(offline, verdict):
  ends = {"grpo, first": 0.58, "dpo, offline, first": 0.57}
  ends |= {"grpo, then dpo, offline": offline, "grpo, then dpo, online": 0.62}
  runs = runs_that_end_at(ends | {"grpo, then grpo": 0.605})
  assert grpo_then_dpo.finding_of(runs).verdict == verdict
