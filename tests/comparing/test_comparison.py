"""Means, intervals and differences over seeds, and the sentences made of them."""

import os
import subprocess
import sys

import pytest

from comparing import comparison, curves, finding
from tests.comparing import fake_sweep
from training.errors import UserError
from training.estimates import Estimate, estimate, number
from training.records.files import read_json, write_json
from training.records.run_folder import RunFolder

REWARD = comparison.at_end("eval/reward")
MADE_UP = {"dpo-offline": (0.3, 0.4, 0.5), "grpo-k2": (0.5, 0.7, 0.6), "grpo-k8": (0.8, 0.6, 0.7)}


@pytest.fixture
def sweep(tmp_path):
  """Three variants of three seeds with the final rewards of MADE_UP, from a base policy of 0.4."""
  folder = fake_sweep.write(tmp_path / "quick", variants=tuple(MADE_UP))
  for variant, rewards in MADE_UP.items():
    for seed, reward in enumerate(rewards):
      run = RunFolder(os.path.join(folder, f"{variant}-s{seed}"))
      run.truncate(-1)
      run.append_metrics({"step": 0, "rollouts": 0, "eval/reward": 0.4})
      run.append_metrics({"step": 80, "rollouts": 20480, "eval/reward": reward})
  return folder


def test_the_interval_is_students_t():
  # Mean 2, standard deviation 1, t of two degrees of freedom 4.303: 4.303 / sqrt(3) = 2.484.
  found = estimate([1.0, 2.0, 3.0])
  assert found is not None and found.n == 3
  assert found.mean == pytest.approx(2.0)
  assert found.half_width == pytest.approx(2.4841, abs=1e-4)
  assert str(found) == "2.000 ± 2.484"


@pytest.mark.parametrize(("values", "n"), [([0.5, None], 1), ([0.4, 0.6], 2)])
def test_one_or_two_seeds_have_no_interval_and_say_so(values, n):
  found = estimate(values)
  assert found is not None and found == Estimate(0.5, None, n)
  assert str(found) == f"0.500 (n={n})" and found.spread == f"n={n}"
  assert not found.is_clear and found.p is None
  assert estimate([None]) is None


@pytest.mark.parametrize(
  ("x", "text"),
  [
    *[(0.6523, "0.652"), (1, "1.000"), (46.21, "46.2"), (20480.0, "20,480")],
    *[(-0.02, "\N{MINUS SIGN}0.020"), (-0.0001, "0.000"), (None, "—")],
  ],
)
def test_numbers_are_written_with_the_figures_that_matter(x, text):
  assert number(x) == text


def test_differences_are_paired_by_seed(sweep):
  dpo, k2, k8 = comparison.read(sweep).variants
  # grpo-k2 - dpo-offline by seed: 0.2, 0.3, 0.1; the spread within the seeds cancels.
  gap = k2.minus(dpo, REWARD)
  assert gap is not None and gap.mean == pytest.approx(0.2) and gap.n == 3
  assert gap.half_width == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)
  gain = k8.gain("eval/reward")
  assert gain is not None and gain.mean == pytest.approx(0.3)


def test_differences_use_only_seeds_that_both_finished(sweep):
  RunFolder(f"{sweep}/dpo-offline-s1").mark("diverged", "train/loss is nan at step 37")
  dpo, k2, _ = comparison.read(sweep).variants
  gap = k2.minus(dpo, REWARD)
  assert gap is not None and gap.n == 2 and gap.mean == pytest.approx(0.15)
  assert (dpo.seeds, dpo.failed) == ("2 of 3", 1)


def test_variants_keep_the_order_of_the_sweep_and_runs_outside_it_do_not_count(sweep):
  fake_sweep.write_run(sweep, "dpo-online", 0)
  assert [variant.name for variant in comparison.read(sweep).variants] == list(MADE_UP)


def test_the_base_policy_is_the_rows_of_step_0(sweep):
  assert comparison.read(sweep).base("eval/reward") == pytest.approx(0.4)


def test_runs_of_different_models_have_no_common_base_policy(sweep):
  path = f"{sweep}/grpo-k2-s0/config.json"
  about = read_json(path)
  about["config"]["model"]["layers"] = 4
  write_json(path, about)
  assert comparison.read(sweep).base("eval/reward") is None


def test_a_value_that_was_not_finite_is_missing(sweep):
  RunFolder(f"{sweep}/grpo-k2-s0").append_metrics({"step": 81, "eval/reward": float("nan")})
  k2 = comparison.read(sweep).variants[1].final("eval/reward")
  assert k2 is not None and k2.n == 2


def test_the_finding_claims_only_what_exceeds_its_interval(sweep):
  against_base, paired, group_size = finding.sentences(comparison.read(sweep))
  # Gains 0.2, 0.3, 0.4: t = 0.3 / (0.1 / sqrt(3)) = 5.2, p = 0.035, of three tests 0.105.
  assert against_base == (
    "grpo-k8 (+0.300 ± 0.248) differs from the base policy (0.400) in held-out reward by a test "
    "alone, which among 3 comparisons may be chance; "
    "dpo-offline (0.000 ± 0.248) and grpo-k2 (+0.200 ± 0.248) are level with it."
  )
  # Differences 0.2, 0.3, 0.1 and 0.5, 0.2, 0.2.
  assert paired == (
    "Paired by seed: grpo-k2 (+0.200 ± 0.248) and grpo-k8 (+0.300 ± 0.430) are level with "
    "dpo-offline in held-out reward."
  )
  assert group_size == (
    "grpo-k8 against grpo-k2 at equal rollouts (20,480): K=8 minus K=2 is +0.100 ± 0.497, "
    "no clear difference."
  )


def test_one_seed_without_rewards_by_prompt_is_told_as_untested(tmp_path):
  result = comparison.read(fake_sweep.write(tmp_path / "one", seeds=(0,)))
  against_base, paired, greedy, greedy_paired, group_size = finding.sentences(result)
  untested = ", untested: fewer than three seeds give no interval."
  assert "are above the base policy (0.443) in held-out reward, unt" in against_base
  assert "are above dpo-offline in held-out reward, unt" in paired and paired.endswith(untested)
  assert greedy.startswith("Greedy. ") and "(0.602)" in greedy
  assert greedy_paired.startswith("Greedy. Paired by seed: ")
  assert not any("improve" in text for text in finding.sentences(result))
  assert group_size.endswith("fewer than three seeds give no interval.")


def test_one_seed_with_rewards_by_prompt_is_told_of_these_checkpoints(tmp_path):
  folder = fake_sweep.write(tmp_path / "one", variants=("grpo-k2", "grpo-k8"), seeds=(0,))
  fake_sweep.write_prompts(folder, {"grpo-k2-s0": 0.7, "grpo-k8-s0": 0.3})
  against_base, paired, *_ = finding.sentences(comparison.read(folder))
  opening = "These checkpoints, over 200 held-out prompts: "
  assert against_base.startswith(f"{opening}grpo-k2 (+0.2") and "; grpo-k8 (−0.2" in against_base  # noqa: RUF001
  assert paired.startswith(f"{opening}grpo-k8 (−0.393, −0.4")  # noqa: RUF001
  assert paired.endswith(" falls below grpo-k2 in held-out reward.")


def test_the_finding_claims_what_stands_the_correction(sweep):
  for variant, final in (("grpo-k2", 0.6), ("grpo-k8", 0.2)):
    for seed in range(3):
      row = {"step": 81, "rollouts": 30000, "eval/reward": final + 0.001 * seed}
      RunFolder(f"{sweep}/{variant}-s{seed}").append_metrics(row)
  against_base, _, _, budgets = finding.sentences(comparison.read(sweep))
  assert against_base == (
    "grpo-k2 (+0.201 ± 0.002) improves on the base policy (0.400) in held-out reward; "
    "grpo-k8 (−0.199 ± 0.002) falls below it; dpo-offline (0.000 ± 0.248) is level with it."  # noqa: RUF001
  )
  assert budgets == (
    "The budgets are unequal, from 20,480 rollouts (dpo-offline) to 30,000 (grpo-k8): "
    "part of any difference may come from that."
  )


def test_runs_without_a_common_metric_are_said_to_have_none(sweep):
  for seed in range(3):
    for variant, metric in (("grpo-k2", "accuracy"), ("grpo-k8", "implied_accuracy")):
      run = RunFolder(f"{sweep}/{variant}-s{seed}")
      run.truncate(-1)
      run.append_metrics({"step": 1, f"eval/{metric}": 0.5})
  (only,) = finding.sentences(comparison.read(sweep))
  assert only == (
    "No two variants have an eval/ metric in common, so nothing can be compared (dpo-offline has "
    "eval/reward, grpo-k2 has eval/accuracy, grpo-k8 has eval/implied_accuracy)."
  )


def test_runs_without_a_reward_are_judged_by_their_accuracy(sweep):
  for variant in MADE_UP:
    for seed in range(3):
      run = RunFolder(f"{sweep}/{variant}-s{seed}")
      run.truncate(-1)
      for step in (0, 1):
        row = {"step": step, "eval/implied_accuracy": 0.5 + step * (0.2 + 0.01 * seed)}
        run.append_metrics(row)
  found = finding.sentences(comparison.read(sweep))[0]
  assert "improve on the base policy (0.500) in the share of held-out pairs ranked right" in found


def test_the_finding_counts_the_runs_it_leaves_out(sweep):
  for seed in range(3):
    RunFolder(f"{sweep}/grpo-k8-s{seed}").mark("diverged", "train/loss is nan")
  last = finding.sentences(comparison.read(sweep))[-1]
  assert (
    last == "3 of 9 runs did not finish (3 failed) and count in no mean; grpo-k8 finished none."
  )


def test_curves_meet_at_steps_and_long_ones_are_averaged(sweep):
  run = RunFolder(f"{sweep}/grpo-k2-s0")
  run.truncate(-1)
  for step in range(1001):
    run.append_metrics({"step": step, "rollouts": 10 * step, "train/reward": float(step)})
  found = comparison.read(sweep).variants[1].runs[0]
  width = curves.bin_width([found])
  points = curves.curve(found, "train/reward", "rollouts", width)
  assert width == 5 and len(points) == 1 + curves.MAX_POINTS
  assert points[:2] == [(0, 0), (30, 3)]  # step 0 alone, then steps 1 to 5


def test_several_folders_are_one_comparison_with_names_told_apart(tmp_path):
  quick = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"))
  mine = fake_sweep.write(tmp_path / "mine", variants=("grpo-k2", "dpo-online"))
  names = [variant.name for variant in comparison.read(quick, mine).variants]
  assert names == ["quick/grpo-k2", "grpo-k8", "mine/grpo-k2", "dpo-online"]


def test_runs_that_differ_in_their_seed_alone_are_one_variant_wherever_they_lie(tmp_path):
  fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"), seeds=(0, 1))
  fake_sweep.write_run(str(tmp_path / "more"), "grpo-k2", 2)
  quick, alone = str(tmp_path / "quick"), str(tmp_path / "more" / "grpo-k2-s2")
  k2, k8 = comparison.read(quick, alone).variants
  assert (k2.name, len(k2.runs), k8.name, len(k8.runs)) == ("grpo-k2", 3, "grpo-k8", 2)


def test_a_run_named_twice_counts_once(tmp_path):
  quick = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2",))
  for again in (quick, quick + "/", f"{quick}/grpo-k2-s1"):
    (variant,) = comparison.read(quick, again).variants
    assert variant.name == "grpo-k2" and len(variant.runs) == 3


def test_the_baseline_is_the_first_variant_or_that_named(sweep):
  assert comparison.read(sweep).baseline.name == "dpo-offline"
  chosen = comparison.read(sweep, baseline="grpo-k8")
  assert [variant.name for variant in chosen.others] == ["dpo-offline", "grpo-k2"]
  with pytest.raises(UserError, match="no variant 'grpo'.*: dpo-offline, grpo-k2, grpo-k8"):
    comparison.read(sweep, baseline="grpo")


def test_single_runs_and_folders_without_a_plan_are_read_too(tmp_path):
  fake_sweep.write_run(str(tmp_path), "grpo-k2", 0)
  fake_sweep.write_run(str(tmp_path), "grpo-k2", 1)
  for folder, n in ((tmp_path, 2), (tmp_path / "grpo-k2-s0", 1)):
    (variant,) = comparison.read(str(folder)).variants
    assert variant.name == "grpo-k2" and len(variant.runs) == n


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_runs_is_a_user_error(tmp_path, name):
  with pytest.raises(UserError, match="e.g. runs/quick"):
    comparison.read(str(tmp_path / name))


def test_a_folder_of_sweeps_names_them(tmp_path):
  fake_sweep.write(tmp_path / "runs" / "quick", variants=("grpo-k2",), seeds=(0,))
  with pytest.raises(UserError, match="runs holds no runs; .* it holds sweeps: .*runs/quick"):
    comparison.read(str(tmp_path / "runs"))


def test_a_folder_that_is_no_run_is_named_among_those_that_are(sweep, tmp_path):
  (tmp_path / "notes").mkdir()
  with pytest.raises(UserError, match="notes holds no runs"):
    comparison.read(sweep, str(tmp_path / "notes"))


@pytest.mark.parametrize(
  "name", ["sweep.json", "grpo-k2-s0/metrics.jsonl", "grpo-k2-s0/config.json"]
)
def test_a_broken_file_is_named(sweep, name):
  with open(os.path.join(sweep, name), "w") as file:
    file.write("{broken\n{}\n")
  with pytest.raises(
    UserError, match=r"quick/(sweep.json|grpo-k2-s0).* (cannot be read|is damaged)"
  ):
    comparison.read(sweep)


def test_comparing_needs_no_jax_and_importing_it_is_quick():
  code = "import sys, experiments.report; print([m for m in ('jax', 'plotly') if m in sys.modules])"
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == "[]"
