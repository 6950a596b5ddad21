"""What the policy gradients have to do with each other: where two of them are one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  cispo,
  dapo,
  dr_grpo,
  entropy_bonus_grpo,
  gdpo,
  gmpo,
  grpo,
  gspo,
  luspo,
  masked_off_policy_grpo,
  off_policy_grpo,
  offline_grpo,
  rloo,
  sapo,
  top_entropy_grpo,
  truncated_grpo,
  two_sided_grpo,
  unclipped_grpo,
  vespo,
)
from algorithms.advantages import group_relative
from tests.algorithms.groups import call, evaluate, random_groups


def gradient(loss, arrays, **options):
  return evaluate(loss, arrays, options)[2]


def on_the_first_step(k=4):
  """The policy that sampled is the policy that is trained, and the reference."""
  arrays = random_groups(k=k)
  return arrays | {"old_logps": arrays["logps"], "ref_logps": arrays["logps"]}


def cosine(x, y):
  return (x * y).sum() / jnp.sqrt((x * x).sum() * (y * y).sum())


def close(given, wanted, rtol=1e-5, atol=1e-7):
  assert jnp.abs(wanted).max() > 1e-4  # two zeros agree about nothing
  np.testing.assert_allclose(given, wanted, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
  "loss", [unclipped_grpo, two_sided_grpo, gspo, gmpo, sapo, masked_off_policy_grpo]
)
def test_on_the_first_step_the_sequence_means_are_grpo(loss):
  arrays = on_the_first_step()
  close(gradient(loss, arrays), gradient(grpo, arrays))


@pytest.mark.parametrize("loss", [dapo, cispo, vespo])
def test_on_the_first_step_the_token_means_are_one(loss):
  arrays = on_the_first_step()
  close(gradient(loss, arrays), gradient(dapo, arrays, clip_high=0.2))


def test_luspo_undoes_the_length_that_divides_gspo():
  arrays = random_groups()
  n = arrays["mask"].sum(axis=-1, keepdims=True)
  clips = {"clip_low": 0.9, "clip_high": 0.9}
  close(gradient(luspo, arrays, **clips), n * gradient(gspo, arrays, **clips))


def test_gspo_is_the_sequence_ratio_with_a_length_root():
  arrays = random_groups()
  clips = {"clip_low": 0.2, "clip_high": 0.2}
  sequence = {"ratio": "sequence", "beta": 0.0} | clips
  log_ratio = arrays["logps"] - arrays["old_logps"]
  n = arrays["mask"].sum(axis=-1, keepdims=True)
  rooted = arrays | {"old_logps": arrays["logps"] - log_ratio / n}
  close(call(gspo, arrays, **clips)[0], call(off_policy_grpo, rooted, **sequence)[0])
  assert abs(call(gspo, arrays, **clips)[0] - call(off_policy_grpo, arrays, **sequence)[0]) > 0.01


def test_dr_grpo_points_where_grpo_does_when_lengths_and_spreads_are_equal():
  ragged = random_groups()
  ragged["rewards"] = jnp.tile(jnp.array([[1.0, 0.0, 0.0, 1.0]]), (4, 1))  # std 1/2 in each group
  equal = ragged | {"mask": jnp.ones_like(ragged["mask"])}
  # grpo weighs a token by 1 / 0.5001 and 1 / 6; dr_grpo by 1 / 256
  close(gradient(dr_grpo, equal), 0.5001 * 6 / 256 * gradient(grpo, equal))
  assert cosine(gradient(dr_grpo, ragged), gradient(grpo, ragged)) < 0.99
  spread = equal | {"rewards": ragged["rewards"] * jnp.array([[1.0], [2.0], [5.0], [9.0]])}
  assert cosine(gradient(dr_grpo, spread), gradient(grpo, spread)) < 0.99


@pytest.mark.parametrize("k", [2, 4])
def test_leave_one_out_is_the_centered_gradient_without_its_bias(k):
  """K / (K-1) times it. (rloo is a mean over responses, offline_grpo over groups: hence the K.)"""
  arrays = on_the_first_step(k=k)
  close(k * gradient(rloo, arrays), k / (k - 1) * gradient(offline_grpo, arrays))


def test_without_anything_to_clip_the_clip_does_nothing():
  near, far = random_groups(distance=0.01), random_groups(distance=1.0)
  assert call(grpo, near)[0] == call(unclipped_grpo, near)[0]
  assert call(grpo, far)[0] != call(unclipped_grpo, far)[0]


@pytest.mark.parametrize(
  ("loss", "options"),
  [
    (two_sided_grpo, {"ratio_cap": 1e9}),
    (truncated_grpo, {}),
    (truncated_grpo, {"level": "sequence"}),
    (top_entropy_grpo, {"share": 1.0}),
    (entropy_bonus_grpo, {"bonus": 0.0}),
    (masked_off_policy_grpo, {"threshold": 1e9}),
  ],
)
def test_a_correction_that_corrects_nothing_leaves_grpo(loss, options):
  arrays = random_groups(distance=2.0)
  arrays["sampler_logps"] = arrays["old_logps"]
  close(gradient(loss, arrays, beta=0.1, **options), gradient(grpo, arrays, beta=0.1))
  close(call(loss, arrays, **options)[0], call(grpo, arrays)[0])


def test_dapos_clip_is_the_higher_one():
  arrays = random_groups()
  assert call(dapo, arrays)[0] == call(dapo, arrays, clip_high=0.28)[0]
  assert call(dapo, arrays)[0] != call(dapo, arrays, clip_high=0.2)[0]


def test_gdpo_with_one_reward_is_grpo_over_the_spread_of_its_advantages():
  arrays = random_groups()
  arrays["reward_parts"] = arrays["rewards"][..., None]
  spread = group_relative(arrays["rewards"]).std()
  close(call(gdpo, arrays)[0], call(grpo, arrays)[0] / (spread + 1e-4))


def test_on_the_first_step_k2_has_the_gradient_of_k3_times_the_ratio():
  """The KL term of DeepSeek-V3.2, and of TRL by default: rho = 1, but it has a gradient."""
  arrays = random_groups() | {"rewards": jnp.ones((4, 4))}  # A = 0: only the KL is left
  arrays["old_logps"] = arrays["logps"]

  def ratio_times_k3(logps):
    d = arrays["ref_logps"] - logps
    terms = jnp.exp(logps - arrays["old_logps"]) * (jnp.exp(d) - d - 1)
    n = arrays["mask"].sum(axis=-1)
    return 0.1 * (jnp.where(arrays["mask"], terms, 0).sum(axis=-1) / n).mean()

  wanted = jax.grad(ratio_times_k3)(arrays["logps"])
  close(gradient(grpo, arrays, beta=0.1, kl="k2"), wanted)
  assert cosine(gradient(grpo, arrays, beta=0.1, kl="k3"), wanted) < 0.999
