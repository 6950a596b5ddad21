"""Claims by exact sums: the sums against brute force, and verdicts that follow the numbers."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.grpo import grpo
from algorithms.other_objectives import maxrl
from claims import binomial, group_size, link_functions, maximum_likelihood
from claims.claim import DOES_NOT_HOLD, HOLDS

RATES = np.array([0.1, 0.5, 0.9])


# --- maximum_likelihood ---------------------------------------------------------------------------


def test_the_weight_of_a_prompt_by_hand():
  # K = 2, one solved: rewards (1, 0), mean 1/2, advantages (1, -1), each over K. Either of the two
  # orders has the chance p (1 - p), and (1 (1 - p) - (-p)) / 2 = 1/2 is what it adds: w = 1.
  np.testing.assert_allclose(binomial.prompt_weights(maxrl, 2, RATES), [1, 1, 1], rtol=1e-5)
  # K = 3: the series of 1 / p up to its second term.
  np.testing.assert_allclose(binomial.prompt_weights(maxrl, 3, RATES), 2 - RATES, rtol=1e-5)


def test_maxrl_holds_only_if_more_rollouts_are_nearer():
  p, sizes = maximum_likelihood.SOLVE_RATES, maximum_likelihood.GROUP_SIZES
  right = {k: (1 - (1 - p) ** (k - 1)) / p for k in sizes}
  ends = dict(zip((f"maxrl, K = {k}" for k in sizes), (-3.0, -2.0, -1.0, -0.5, -0.2), strict=True))
  courses = {name: np.full(maximum_likelihood.STEPS + 1, end) for name, end in ends.items()}
  courses |= {"maximum likelihood": 0 * courses["maxrl, K = 2"]}
  weights = maximum_likelihood.Weights(right, 1 / p)
  assert maximum_likelihood.finding_of(weights, courses).verdict == HOLDS
  wrong = dataclasses.replace(weights, maxrl=right | {256: right[2]})
  assert maximum_likelihood.finding_of(wrong, courses).verdict == DOES_NOT_HOLD
  worse = courses | {"maxrl, K = 256": courses["maxrl, K = 2"]}
  assert maximum_likelihood.finding_of(weights, worse).verdict == DOES_NOT_HOLD


# --- group_size -----------------------------------------------------------------------------------


def test_a_groups_variance_is_that_of_all_groups_one_by_one():
  """Groups of two of eight responses, with the loss's own gradient in the logits."""
  p = group_size.SOLVE_RATES[19]
  draw = np.random.default_rng(0)
  kinds = [draw.dirichlet(np.ones(n)) for n in (group_size.RIGHT, group_size.WRONG)]
  policy = np.concatenate([p * kinds[0], (1 - p) * kinds[1]])
  groups = jnp.array(list(itertools.product(range(8), repeat=2)))

  @jax.vmap
  def gradient(group):
    def loss(logits):
      logps = jax.nn.log_softmax(logits)[group][None, :, None]
      rewards = (group < group_size.RIGHT).astype(jnp.float32)[None]
      return grpo(logps, logps, rewards, jnp.ones((1, 2, 1), bool))[0]

    return jax.grad(loss)(jnp.log(policy))

  chance = policy[groups].prod(axis=1)
  found = np.asarray(gradient(groups), np.float64)
  mean = chance @ found
  variance = chance @ ((found - mean) ** 2).sum(axis=1)
  noise = group_size.moments(grpo, 2).noise[19]
  np.testing.assert_allclose(noise, variance / (mean @ mean), rtol=1e-4)


def test_the_price_of_small_groups_is_told():
  rates = group_size.SOLVE_RATES
  silent = {k: rates**k + (1 - rates) ** k for k in group_size.GROUP_SIZES}

  def of(noise) -> dict:
    found = {k: group_size.Moments(noise(k) + 0 * rates, silent[k]) for k in silent}
    return {"dr_grpo": found, "grpo": found}

  assert group_size.finding_of(of(lambda k: 1 / k)).verdict == HOLDS
  twice = group_size.finding_of(of(lambda k: (2 if k == 2 else 1) / k))
  assert twice.verdict == "holds under 2.0 to 2.0 times the rollouts"
  assert group_size.finding_of(of(lambda k: 1.0)).verdict == DOES_NOT_HOLD  # nothing is made up for


# --- link_functions -------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", link_functions.LINKS)
def test_the_right_link_finds_the_true_rewards(truth):
  rewards = jnp.array([-1.5, -0.7, -0.2, 0.0, 0.1, 0.4, 0.6, 1.3])
  with jax.enable_x64(True):
    chances = jnp.exp(link_functions.LINKS[truth](link_functions.PAIRS @ rewards))
    fitted = link_functions.fit(chances, link_functions.LOSSES[truth][1])
  np.testing.assert_allclose(fitted, rewards - rewards.mean(), atol=1e-5)


def test_no_reward_is_lost_by_another_scale_and_some_by_another_order():
  true = jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
  best = link_functions._gain(true, true)
  assert 0 < best < 3.5
  np.testing.assert_allclose(link_functions._gain(1.7 * true, true), best, rtol=1e-4)
  swapped = true.at[jnp.array([6, 7])].set(jnp.array([7.0, 6.0]))
  assert link_functions._gain(swapped, true) < 0.99 * best


def test_a_wrong_link_holds_only_with_the_order_and_most_of_the_gain():
  shape = (len(link_functions.SPREADS), 3)
  good = link_functions.Fits(
    ordered=np.ones(shape, bool),
    scale=np.full(shape, 1.7),
    off=np.full(shape, 0.02),
    lost=np.full(shape, 1e-4),
    pairs=np.full(shape, 1e4),
  )

  def verdict(agree=0.0, **changed):
    fits = dataclasses.replace(good, **changed)
    return link_functions.finding_of(dict.fromkeys(link_functions.LINKS, fits), agree).verdict

  assert verdict() == HOLDS
  assert verdict(ordered=np.zeros(shape, bool)) == DOES_NOT_HOLD
  assert verdict(lost=np.full(shape, 0.02)) == DOES_NOT_HOLD
  assert verdict(agree=0.1) == DOES_NOT_HOLD
