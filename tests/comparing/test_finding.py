"""Sentences on what cannot be tested or paired, and on group sizes at equal rollouts."""

from comparing import finding
from tests.comparing.fake_sweep import compare, finished

NOISY = {0: 0.3, 1: 0.5, 2: 0.4}


def test_the_same_gap_on_all_seeds_is_named_as_what_it_is():
  never, always = dict.fromkeys(range(3), 0.0), dict.fromkeys(range(3), 1.0)
  against_base, paired = finding.sentences(compare(finished("a", never), finished("b", always)))
  assert against_base == (
    "a (0.000 ± 0.000) is level with the base policy (0.000) in held-out reward; "
    "b (+1.000 ± 0.000) is above it, untested: the same gap on all seeds, so there is no t test."
  )
  assert paired == (
    "Paired by seed: b (+1.000 ± 0.000) is above a in held-out reward, untested: "
    "the same gap on all seeds, so there is no t test."
  )


def test_variants_without_a_seed_of_the_baseline_are_named():
  a, b = finished("a", NOISY), finished("b", {0: 0.4, 1: 0.5, 2: 0.4})
  c, d = finished("c", {3: 0.4, 4: 0.5, 5: 0.6}), finished("d", {7: 0.4})
  assert finding.sentences(compare(a, b, c, d))[1] == (
    "Paired by seed: b (+0.033 ± 0.143) is level with a in held-out reward; "
    "no seed of c and d can be paired with one of a."
  )
  assert finding.sentences(compare(a, c))[1] == (
    "Paired by seed: no seed of c can be paired with one of a."
  )


def test_group_sizes_are_compared_at_each_budget_alone():
  def grpo(k: int, rollouts: int, reward: float):
    rewards = {0: reward, 1: reward + 0.01, 2: reward + 0.03}
    return finished(f"k{k}-{rollouts}", rewards, rollouts=rollouts, group_size=k)

  few = [grpo(2, 100, 0.3), grpo(8, 100, 0.4)]
  many = [grpo(16, 803, 0.7), grpo(4, 800, 0.5), grpo(8, 800, 0.6)]
  sentences = finding.sentences(compare(grpo(2, 400, 0.1), *few, *many))
  assert [text.partition(" is ")[0] for text in sentences if "minus K" in text] == [
    "k8-100 against k2-100 at equal rollouts (100): K=8 minus K=2",
    "k8-800 against k4-800 at equal rollouts (800): K=8 minus K=4",
    "k16-803 against k4-800 at equal rollouts (800): K=16 minus K=4",
  ]
