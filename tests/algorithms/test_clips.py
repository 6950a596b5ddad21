"""Where each policy gradient stops to push, or pushes less: tables of (ratio, sign of A)."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  LOSSES,
  cispo,
  dapo,
  gmpo,
  grpo,
  gspo,
  sapo,
  two_sided_grpo,
  unclipped_grpo,
  vespo,
)
from algorithms.ranges import RANGES
from tests.algorithms.groups import arrays_of
from tests.algorithms.scenarios import ranges

bnpo = functools.partial(dapo, clip_high=0.2)  # TRL's, configs/bnpo.py


def one_token_responses(ratio, better):
  """Two responses of one token; the first has this ratio, and the better or the worse reward."""
  return {
    "logps": jnp.array([[[np.log(ratio)], [0.0]]], jnp.float32),
    "old_logps": jnp.zeros((1, 2, 1)),
    "rewards": jnp.array([[1.0, 0.0]] if better else [[0.0, 1.0]]),
    "mask": jnp.ones((1, 2, 1), bool),
  }


def push_on_the_first(loss, arrays):
  return -jax.grad(lambda x: loss(**arrays | {"logps": x})[0])(arrays["logps"])[0, 0, 0]


@pytest.mark.parametrize(
  ("loss", "ratio", "better", "push"),
  [
    (grpo, 1.25, True, 0),
    (grpo, 1.25, False, 1),
    (grpo, 0.75, True, 1),
    (grpo, 0.75, False, 0),
    (grpo, 5.0, False, 1),  # the ordinary clip has no upper bound where A < 0
    (two_sided_grpo, 5.0, False, 0),
    (two_sided_grpo, 3.0, False, 1),
    (two_sided_grpo, 1.25, True, 0),
    (two_sided_grpo, 0.75, False, 0),
    (bnpo, 1.25, True, 0),
    (dapo, 1.25, True, 1),
    (dapo, 1.3, True, 0),
    (dapo, 0.75, False, 0),
    (gspo, 1.0005, True, 0),
    (gspo, 1.0003, True, 1),
    (gspo, 0.9995, False, 0),
    (gspo, 0.9998, False, 1),
    (gmpo, 1.45, True, 1),  # e^0.4 = 1.49
    (gmpo, 1.55, True, 0),
    (gmpo, 0.7, False, 1),  # e^-0.4 = 0.67
    (gmpo, 0.6, False, 0),
    (gmpo, 0.6, True, 1),
  ],
)
def test_where_the_push_stops(loss, ratio, better, push):
  """The gradient at a response of one token, next to that of the ratio without a clip."""
  arrays = one_token_responses(ratio, better)
  given = push_on_the_first(loss, arrays) / push_on_the_first(unclipped_grpo, arrays)
  np.testing.assert_allclose(given, push, rtol=1e-5)
  if loss is not two_sided_grpo:  # of the two tokens; its cap is not in the metric
    assert loss(**arrays)[1]["clip_ratio/region_mean"] == (1 - push) / 2


WITH_AN_UPPER_CLIP = [
  loss for loss in LOSSES.values() if RANGES["UpperClip"] in ranges(loss).values()
]


@pytest.mark.parametrize("clip_high", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("loss", WITH_AN_UPPER_CLIP)
def test_an_upper_clip_may_be_1_and_more_and_stops_the_push_there(loss, clip_high):
  def push(ratio, clip_high):
    arrays = one_token_responses(ratio, better=True)
    zeros, rewards = arrays["old_logps"], arrays["rewards"]
    arrays |= dict.fromkeys(("ref_logps", "sampler_logps", "entropy", "values"), zeros)
    arrays |= {"old_values": zeros, "reward_parts": rewards[..., None]}
    given = arrays_of(loss, arrays)
    off = {"beta", "pair_weight"} & inspect.signature(loss).parameters.keys()
    options = {"clip_high": clip_high} | dict.fromkeys(off, 0.0)
    return push_on_the_first(functools.partial(loss, **options), given)

  unclipped = push(0.99 + clip_high, clip_high=1e6)
  assert unclipped > 1e-3
  np.testing.assert_allclose(push(0.99 + clip_high, clip_high), unclipped, rtol=1e-5)
  assert push(1.01 + clip_high, clip_high) == 0


def test_every_loss_with_an_upper_clip_is_tested_for_it():
  named = {loss for loss in LOSSES.values() if "clip_high" in ranges(loss)}
  assert named - {*WITH_AN_UPPER_CLIP} == {gmpo}  # clips log-ratios, above


@pytest.mark.parametrize(
  ("loss", "ratio", "better", "weight"),
  [
    (cispo, 3.0, True, 3.0),
    (cispo, 7.0, True, 5.0),
    (cispo, 7.0, False, 5.0),
    (cispo, 0.1, False, 0.1),
    # the slope of 4/tau sigmoid(tau (rho - 1)), times rho: 4 s (1 - s) rho
    (sapo, 2.0, True, 8 * 0.7310586 * 0.2689414),
    (sapo, 2.0, False, 8 * 0.7407749 * 0.2592251),  # sigmoid(1.05)
    # w^k e^(lambda (1 - w)); k = 2, lambda = 3 where A > 0, else 3 and 2
    (vespo, 2.0, True, 4 * np.exp(-3)),
    (vespo, 2.0, False, 8 * np.exp(-2)),
    (vespo, 0.5, True, 0.25 * np.exp(1.5)),
  ],
)
def test_soft_clipping_weighs_a_token_by_its_ratio(loss, ratio, better, weight):
  arrays = one_token_responses(ratio, better)
  advantage = (0.5 if better else -0.5) / 0.5001
  wanted = advantage * weight / 2  # the mean over two responses
  np.testing.assert_allclose(push_on_the_first(loss, arrays), wanted, rtol=1e-5)
