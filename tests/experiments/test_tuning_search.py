"""What a tune tries next, and what it stops: functions of the trials so far."""

import math

import pytest

from configs.hyper import interval, log_uniform
from experiments.tuning import search
from experiments.tuning.search import START, Trial

RATE = "optimizer.learning_rate"
RATES = {RATE: log_uniform(1e-5, 1e-2)}


def carried_out(values, earlier=(), steps=64, seeds=2):
  """A trial that peaks at a rate of 1e-3, in evaluations at every eighth of a run."""
  rate = values[RATE]
  curve = []
  for spent in range(steps // 8, seeds * steps + 1, steps // 8):
    curve.append((spent, 0.5 - 0.1 * (math.log10(rate) + 3) ** 2 * spent / steps))
    if spent < seeds * steps and search.should_stop([t.curve for t in earlier], curve, steps):
      return Trial(values, "pruned", curve)
  return Trial(values, "complete", curve)


def searched(count, variant="grpo", domains=RATES, now=2e-4):
  trials: list[Trial] = []
  while len(trials) < count:
    values = search.propose(variant, domains, {RATE: now}, trials)
    assert values is not None
    trials.append(carried_out(values, trials))
  return trials


def values(trials):
  return [trial.values for trial in trials]


@pytest.fixture(scope="module")
def ten():
  return searched(10)


def test_the_sweep_files_own_values_come_first_then_a_value_of_each_part(ten):
  assert ten[0].values == {RATE: 2e-4}
  exponents = sorted(math.log10(trial.values[RATE]) for trial in ten[1 : 1 + START])
  parts = [(exponent + 5) / 3 * START for exponent in exponents]
  assert [int(part) for part in parts] == list(range(START))


def test_values_that_are_not_of_the_range_are_not_tried_first():
  assert search.propose("grpo", RATES, {RATE: 0.5}, []) != {RATE: 0.5}


def test_the_start_is_the_same_for_all_variants_and_later_draws_are_their_own():
  grpo, dpo = searched(START + 2), searched(START + 2, variant="dpo")
  assert values(grpo)[: START + 1] == values(dpo)[: START + 1]
  assert values(grpo)[START + 1] != values(dpo)[START + 1]


def test_the_same_trials_are_followed_by_the_same(ten):
  assert values(searched(7)) == values(ten)[:7]


def test_the_search_comes_near_the_best_rate_and_most_trials_stop_early(ten):
  best = max((t for t in ten if t.outcome == "complete"), key=lambda trial: trial.score or 0)
  assert 5e-4 < best.values[RATE] < 2e-3
  assert sum(trial.outcome == "pruned" for trial in ten) >= 4
  assert all(len(trial.curve) < 16 for trial in ten if trial.outcome == "pruned")


def test_numbers_are_short_and_within_the_range(ten):
  for trial in ten:
    rate = trial.values[RATE]
    assert 1e-5 <= rate <= 1e-2 and rate == float(f"{rate:.4g}")


def test_diverged_and_failed_trials_are_no_reason_to_stop():
  ended = [Trial({RATE: 1e-2}, "diverged", []), Trial({RATE: 5e-3}, "failed", [])]
  assert search.propose("grpo", RATES, {RATE: 1e-2}, ended) is not None
  for number in range(START, START + 3):  # those of TPE
    more = [Trial({RATE: 1e-5 * (n + 1)}, "pruned", [(16, 0.1)]) for n in range(number)]
    found = search.propose("grpo", RATES, {RATE: 1e-2}, ended + more)
    assert found is not None and 1e-5 <= found[RATE] <= 1e-2


def test_lists_are_tried_without_repeats_until_there_are_no_more():
  domains = {RATE: [1e-4, 2e-4], "algorithm.beta": [0.1, 0.3, 1.0]}
  now, trials = {RATE: 2e-4, "algorithm.beta": 0.1}, []
  while found := search.propose("dpo", domains, now, trials):
    trials.append(Trial(found, "complete", [(64, 0.5)]))
  assert trials[0].values == now
  assert search.combinations(domains) == len(trials) == 6
  assert len({tuple(trial.values.values()) for trial in trials}) == 6


def test_whole_numbers_stay_whole_and_end_when_all_were_tried():
  domains, trials = {"k": interval(2, 4)}, []
  while found := search.propose("grpo", domains, {"k": 3}, trials):
    trials.append(Trial(found, "complete", [(64, 0.1 * found["k"])]))
    assert isinstance(found["k"], int)
  assert trials[0].values == {"k": 3}
  assert len({trial.values["k"] for trial in trials}) == len(trials) <= 3


def test_a_list_beside_a_range_is_searched_with_it():
  domains, trials = RATES | {"algorithm.beta": [0.0, "auto"]}, []
  for _ in range(START + 3):
    found = search.propose("grpo", domains, {RATE: 1e-4, "algorithm.beta": 0.0}, trials)
    assert found is not None and found["algorithm.beta"] in (0.0, "auto")
    trials.append(Trial(found, "complete", [(64, found[RATE])]))


def test_the_better_half_goes_on_at_each_rung():
  assert search.rungs(64, seeds=2) == [32, 64]
  better, worse = [(32, 0.5), (64, 0.6)], [(32, 0.4)]
  assert not search.should_stop([], worse, 64)  # the first to come
  assert search.should_stop([better], worse, 64)
  assert not search.should_stop([worse], better, 64)
  assert search.should_stop([better, worse, worse], [(32, 0.45)], 64) is False  # second of four
  assert search.should_stop([better, worse, better], [(32, 0.45)], 64)


def test_between_rungs_nothing_stops():
  better = [(16, 0.9), (32, 0.9), (48, 0.9)]
  assert not search.should_stop([better], [(16, 0.1)], 64)
  assert search.should_stop([better], [(16, 0.1), (40, 0.1)], 64)  # the first evaluation after it
