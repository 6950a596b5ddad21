"""Statistics over seeds against numbers worked out by hand, by SciPy and by rliable 1.2.0."""

import math
import os

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from comparing import comparison, robust, scores, summary
from tests.comparing import fake_sweep
from training.estimates import estimate, holm
from training.records.run_folder import RunFolder

A = [0.61, 0.58, 0.66, 0.63, 0.57, 0.70, 0.64]
B = [0.55, 0.61, 0.58, 0.60, 0.52]


@pytest.mark.parametrize("values", [A, B, [0.02, -0.01, 0.05], [0.3, 0.3, 0.3, 0.31]])
def test_the_t_interval_and_its_p_are_scipys(values):
  found, theirs = estimate(values), scipy.stats.ttest_1samp(values, 0)
  assert found is not None and found.p == pytest.approx(theirs.pvalue, rel=1e-9)
  assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()), rel=1e-9)
  assert found.is_clear == (theirs.pvalue < 0.05)


@pytest.mark.parametrize("values", [[0.5] * 3, [0.0] * 3, [0.7 - 0.2, 0.6 - 0.1, 0.9 - 0.4]])
def test_equal_values_are_no_evidence(values):
  found = estimate(values)
  assert found is not None and found.p is None and not found.is_clear


@pytest.mark.parametrize(
  ("p_values", "adjusted"),  # statsmodels 0.15.0, multipletests(method="holm")
  [
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ([0.2, 0.04, 0.03, 0.9, 0.001], [0.4, 0.12, 0.12, 0.9, 0.005]),
    ([None, 0.04, None], [None, 0.04, None]),  # one test needs no correction
    ([], []),
  ],
)
def test_holms_correction(p_values, adjusted):
  assert holm(p_values) == pytest.approx(adjusted)


# rliable.metrics.aggregate_mean, aggregate_iqm of A and B, and probability_of_improvement;
# rliable.library.get_interval_estimates with 200,000 (20,000 for A above B) resamples.
def test_point_estimates_are_rliables():
  assert robust.of(robust.interquartile_mean, A) == pytest.approx(0.624)
  assert robust.of(robust.interquartile_mean, B) == pytest.approx(0.5766666666666667)
  assert robust.of(robust.interquartile_mean, [0.5, 0.6, 0.4]) == pytest.approx(0.5)
  assert robust.of(robust.improvement, A, B) == pytest.approx(0.8285714285714286)
  ties = robust.of(robust.improvement, [0.5, 0.6, 0.6, 0.7], [0.6, 0.5, 0.4])
  assert ties == pytest.approx(0.7916666666666666)


@pytest.mark.parametrize(
  ("statistic", "samples", "interval"),
  [
    (robust.mean, (A,), (0.59714286, 0.65857143)),
    (robust.mean, (B,), (0.542, 0.600)),
    (robust.interquartile_mean, (A,), (0.590, 0.664)),
    (robust.interquartile_mean, (B,), (0.530, 0.60666667)),
    (robust.improvement, (A, B), (0.54285714, 1.0)),
  ],
)
def test_bootstrap_intervals_are_rliables(statistic, samples, interval):
  assert robust.bootstrap(statistic, *samples) == pytest.approx(interval, abs=3e-3)


def test_the_bootstrap_of_three_values_is_that_of_all_27_resamples():
  means = [np.mean([a, b, c]) for a in (0, 1, 5) for b in (0, 1, 5) for c in (0, 1, 5)]
  # The extremes have probability 1/27 each, above 2.5 %: the interval is from 0 to 5.
  assert robust.bootstrap(robust.mean, [0.0, 1.0, 5.0]) == (min(means), max(means))


def test_no_bootstrap_of_fewer_than_three_in_any_sample():
  assert robust.bootstrap(robust.mean, [0.1, 0.2]) is None
  assert robust.bootstrap(robust.improvement, A, [0.1, 0.2]) is None


def test_the_bootstrap_misses_as_often_as_the_page_says():
  draw = np.random.default_rng(1)
  for n, coverage in ((3, 0.75), (5, 0.84), (10, 0.90)):
    found = [robust.bootstrap(robust.mean, list(draw.normal(size=n))) for _ in range(200)]
    share = np.mean([low < 0 < high for low, high in filter(None, found)])
    assert abs(share - coverage) < 3 * math.sqrt(coverage * (1 - coverage) / 200)


@pytest.fixture
def write(tmp_path):
  """Writes run NAME-s0 of rows (rollouts, reward, KL) and returns it read back."""

  def one(name: str, points):
    run = RunFolder(os.path.join(tmp_path, f"{name}-s0"))
    if not run.read_config():
      fake_sweep.write_run(str(tmp_path), name, 0)
    run.truncate(-1)
    for step, (rollouts, reward, kl) in enumerate(points):
      row = {"step": step, "rollouts": rollouts, "eval/reward": reward, "eval/kl": kl}
      run.append_metrics(row)
    return comparison.read(run.path).runs[0]

  return one


def test_the_area_is_the_mean_height_up_to_the_budget(write):
  run = write("grpo-k2", [(0, 0.2, 0), (100, 0.4, 1), (300, 0.8, 2)])
  # By hand: 0.3 from 0 to 100; to 200 then 0.4 to 0.6, 0.5; to 300 on to 0.8, 0.7.
  assert scores.area("eval/reward", 100.0)(run) == pytest.approx(0.3)
  assert scores.area("eval/reward", 200.0)(run) == pytest.approx((0.3 + 0.5) / 2)
  assert scores.area("eval/reward", 300.0)(run) == pytest.approx((0.3 + 0.5 + 0.7) / 3)
  assert scores.area("eval/reward", 301.0)(run) is None  # it did not get there
  x, y = [0, 100, 300], [0.2, 0.4, 0.8]
  theirs = scipy.integrate.trapezoid(y, x) / 300
  assert scores.area("eval/reward", 300.0)(run) == pytest.approx(theirs)


def test_a_curve_that_begins_late_has_its_first_height_before(write):
  run = write("dpo-offline", [(200, 0.2, 0), (400, 0.6, 1)])
  assert scores.area("eval/reward", 400.0)(run) == pytest.approx((0.2 + 0.4) / 2)


def test_no_area_of_a_run_first_evaluated_after_the_common_budget(write):
  run = write("grpo-k8", [(0, 0.2, 0), (5120, 0.6, 1), (15360, 0.9, 2)])
  assert scores.area("eval/reward", 1920.0)(run) is None
  assert scores.area("eval/reward", 5120.0)(run) == pytest.approx(0.4)


def test_a_single_evaluation_or_no_rollouts_is_no_curve(write):
  for points in ([(100, 0.2, 0)], [(0, 0.2, 0), (0, 0.4, 1)]):
    assert scores.area("eval/reward", 100.0)(write("grpo-k2", points)) is None


def test_the_hypervolume_is_the_dominated_area_over_the_limit(write):
  # Above the base of 0.2: 0.2 from KL 1 on, 0.6 from KL 3 on; the dip to 0.3 at KL 2 is dominated.
  run = write("grpo-k2", [(0, 0.2, 0), (1, 0.4, 1), (2, 0.3, 2), (3, 0.8, 3)])
  assert scores.hypervolume("eval/reward", 4.0)(run) == pytest.approx((2 * 0.2 + 1 * 0.6) / 4)
  assert scores.hypervolume("eval/reward", 2.0)(run) == pytest.approx(1 * 0.2 / 2)
  assert scores.hypervolume("eval/reward", 0.5)(run) == 0
  assert scores.hypervolume("eval/reward", 2.0)(write("grpo-k2", [(0, 0.2, 0)])) is None


def test_below_the_base_policy_is_no_volume_and_a_kl_below_zero_counts_as_zero(write):
  assert scores.hypervolume("eval/reward", 1.0)(write("grpo-k2", [(0, 0.5, 0), (1, 0.3, 1)])) == 0
  run = write("grpo-k2", [(0, 0.5, 0), (1, 0.7, -0.01)])
  assert scores.hypervolume("eval/reward", 1.0)(run) == pytest.approx(0.2)


def test_the_table_compares_up_to_the_common_budget(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8", "dpo-online"))
  for seed in range(3):
    RunFolder(f"{folder}/grpo-k8-s{seed}").append_metrics(
      {"step": 9, "rollouts": 99999, "eval/reward": 0.9, "eval/kl": 3.0}
    )
  result = comparison.read(folder)
  sampled, table = summary.tables(result)
  assert (table.budget, table.kl_limit) == (20480, pytest.approx(3.0))
  assert (table.comparisons, sampled.metric) == (2, "eval/reward_sampled")
  k2, k8, dpo = table.rows
  assert k2.difference is None and k2.p is None and k2.improvement is None
  assert k8.difference is not None and k8.difference.mean == pytest.approx(0.9 - k2.mean.mean)
  assert dpo.difference is not None and dpo.difference.p is not None and dpo.p is not None
  assert dpo.p >= dpo.difference.p
  assert k8.improvement is not None and k8.improvement.value == 1.0
  assert k8.area is not None and k8.area.mean < 0.9  # what came after the budget does not count
