"""Gaps over prompts against SciPy and numbers worked out by hand, and their false alarms."""

import numpy as np
import pytest
import scipy.stats

from comparing import comparison, over_prompts
from comparing.comparison import REWARD, SAMPLED
from tests.comparing import fake_sweep, false_alarms


def differences(mean: float, seed: int = 0, n: int = 400) -> np.ndarray:
  found = np.random.default_rng(seed).normal(size=n)
  return found - found.mean() + mean


@pytest.mark.parametrize("mean", [0.02, 0.08, 0.12, -0.1])
def test_the_p_and_the_interval_of_one_gap_are_scipys(mean):
  x = differences(mean)
  (found,) = over_prompts.gaps([x])
  theirs = scipy.stats.bootstrap((x,), np.mean, n_resamples=5000, method="percentile", rng=1)
  assert (found.mean, found.n) == (pytest.approx(mean), 400)
  low, high = theirs.confidence_interval
  assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
  p = scipy.stats.ttest_1samp(x, 0).pvalue
  assert found.p == pytest.approx(p, abs=4 * (p * (1 - p) / 5000) ** 0.5 + 0.002)


def test_gaps_are_corrected_for_each_other_as_far_as_they_are_independent():
  x = differences(0.1)
  (alone,) = over_prompts.gaps([x])
  again = over_prompts.gaps([x, x, -2 * x])  # one gap in three coats
  assert [gap.p for gap in again] == pytest.approx([alone.p] * 3, abs=1e-9)
  several = over_prompts.gaps([x, *(differences(0.0, seed) for seed in (1, 2, 3))])
  # Of independent gaps the largest is below: 1 - (1 - p)^4.
  assert several[0].p == pytest.approx(1 - (1 - alone.p) ** 4, abs=0.02)
  assert several[1].p == 1.0  # a mean of zero is as near as can be


def test_a_gap_that_all_prompts_share_is_clear_and_no_gap_is_none():
  same, none = over_prompts.gaps([np.full(40, 0.5), np.zeros(40)])
  assert same.is_clear and (same.low, same.high) == (0.5, 0.5) and none.p == 1.0


def test_few_prompts_are_not_asked_and_unscored_ones_are_left_out():
  assert over_prompts.gaps([]) == over_prompts.gaps([differences(1.0, n=29)]) == []
  x = differences(0.1)
  x[:50] = np.nan
  assert over_prompts.gaps([x, differences(0.0)])[1].n == 350


@pytest.fixture
def folder(tmp_path):
  return fake_sweep.write(tmp_path / "two", variants=("grpo-k2", "grpo-k8"), seeds=(0, 1))


def test_rewards_are_means_over_the_runs_of_a_variant(folder):
  shares = {"grpo-k2-s0": 0.6, "grpo-k2-s1": 0.7, "grpo-k8-s0": 0.3, "grpo-k8-s1": 0.3}
  fake_sweep.write_prompts(folder, shares, prompts=50)
  result = comparison.read(folder)
  k2, k8 = result.variants
  rows = [run.folder.read_prompts()[-1]["sampled"] for run in k2.runs]
  found = over_prompts.rewards(k2, SAMPLED)
  assert found is not None and found == pytest.approx(np.mean(rows, axis=0))
  start = over_prompts.rewards(k2, REWARD, at_start=True)
  assert start is not None and start[0] == np.mean([r.prompts[0]["greedy"][0] for r in k2.runs])
  pairs = over_prompts.of_pairs(result, SAMPLED)
  assert pairs["grpo-k2", "grpo-k8"].mean == pytest.approx(-pairs["grpo-k8", "grpo-k2"].mean)
  assert set(over_prompts.of_gains(result, SAMPLED)) == {"grpo-k2", "grpo-k8"}


def test_runs_without_rewards_by_prompt_or_of_other_prompts_have_no_gaps(folder):
  result = comparison.read(folder)
  assert over_prompts.of_pairs(result, SAMPLED) == over_prompts.of_gains(result, SAMPLED) == {}
  for name, prompts in (("grpo-k2", 50), ("grpo-k8", 60)):
    shares = {f"{name}-s{seed}": 0.5 for seed in (0, 1)}
    fake_sweep.write_prompts(folder, shares, prompts=prompts)
  assert over_prompts.of_pairs(comparison.read(folder), SAMPLED) == {}


def test_of_equal_checkpoints_one_table_in_twenty_at_most_is_told_apart():
  # 2,000 tables, by `python -m tests.comparing.false_alarms`: see docs/metrics.md.
  below, gained = false_alarms.of_prompts(variants=5, seeds=2, prompts=128, tables=60)
  assert below <= 0.05 and gained <= 0.10  # three tables, and the six that chance may still add
