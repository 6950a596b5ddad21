"""Numbers worked out by hand, each with its derivation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import dpo, grpo, off_policy_grpo, offline_grpo, sft
from algorithms.advantages import centered, group_relative, leave_one_out
from algorithms.divergences import k1, k2, k3, weighted_k3
from algorithms.policy_gradient import clipped_surrogate, kl_penalty
from algorithms.preferences import pair_weights
from algorithms.reductions import sequence_mean, token_mean
from tests.algorithms.groups import call

A = jnp.array


def one_pair(chosen, rejected, ref_chosen, ref_rejected):
  """Arrays of one pair of responses with two tokens each, rewards (1, 0)."""
  return {
    "logps": A([[chosen, rejected]]),
    "ref_logps": A([[ref_chosen, ref_rejected]]),
    "rewards": A([[1.0, 0.0]]),
    "mask": jnp.ones((1, 2, 2), bool),
  }


def test_advantages():
  # rewards 1, 0: mean 0.5, deviations +-0.5; std 0.5 (ddof=0) or sqrt(0.25+0.25) = 0.7071 (ddof=1)
  rewards = A([[1.0, 0.0]])
  np.testing.assert_allclose(centered(rewards), [[0.5, -0.5]])
  np.testing.assert_allclose(group_relative(rewards, eps=0.0), [[1.0, -1.0]])
  np.testing.assert_allclose(group_relative(rewards, ddof=1, eps=0.0), [[0.70710678, -0.70710678]])
  np.testing.assert_allclose(group_relative(rewards), [[0.5 / 0.5001, -0.5 / 0.5001]], rtol=1e-6)
  # K=4, one right: mean 0.25; the others' mean is 0 for the right one, 1/3 for each wrong one
  np.testing.assert_allclose(leave_one_out(A([[1.0, 0, 0, 0]])), [[1, -1 / 3, -1 / 3, -1 / 3]])


def test_equal_rewards_give_exactly_zero_whatever_they_round_to():
  rewards = jnp.full((2, 3), 0.1)
  for advantages in (centered, group_relative, leave_one_out):
    assert (advantages(rewards) == 0).all()


def test_kl_estimators():
  # pi_ref / pi_theta = 1/2: d = -log 2
  logps, ref_logps = A([[[0.0]]]), A([[[-np.log(2.0)]]])
  np.testing.assert_allclose(k1(logps, ref_logps), np.log(2.0), rtol=1e-6)
  np.testing.assert_allclose(k2(logps, ref_logps), np.log(2.0) ** 2 / 2, rtol=1e-6)
  np.testing.assert_allclose(k3(logps, ref_logps), 0.5 + np.log(2.0) - 1, rtol=1e-6)
  assert k3(logps, logps) == 0


def test_the_weighted_kl_and_its_gradient():
  # pi_theta 1/2, pi_ref 1/4, pi_old 2/5: d = -log 2, ratio 5/4; the gradient is 5/4 of k2's, log 2
  logps, ref_logps, old = (jnp.log(A([[[p]]])) for p in (0.5, 0.25, 0.4))
  value, slope = jax.value_and_grad(lambda x: weighted_k3(x, ref_logps, old).sum())(logps)
  np.testing.assert_allclose(value, 1.25 * (np.log(2.0) - 0.5), rtol=1e-5)
  np.testing.assert_allclose(slope, [[[1.25 * np.log(2.0)]]], rtol=1e-5)
  on_policy = jax.grad(lambda x: weighted_k3(x, ref_logps, logps).sum())(logps)
  np.testing.assert_allclose(
    on_policy, jax.grad(lambda x: k2(x, ref_logps).sum())(logps), rtol=1e-5
  )


def test_drawn_from_another_policy_only_the_weighted_kl_is_unbiased():
  """The exact mean over one token of three, and its gradient in the logits, of each estimate."""
  with jax.enable_x64(True):
    logits, ref, old = A([0.3, -0.2, 0.9]), jax.nn.log_softmax(A([0.0, 1.0, 0.5])), A([-1.0, 1, 0])
    old = jax.nn.log_softmax(old)

    def mean(estimate, x):
      logps = jax.nn.log_softmax(x)
      return jnp.exp(old) @ estimate(logps[None, None], ref[None, None])[0, 0]

    def kl(x):
      logps = jax.nn.log_softmax(x)
      return jnp.exp(logps) @ (logps - ref)

    def off_policy(logps, ref_logps):
      return weighted_k3(logps, ref_logps, old[None, None])

    value, slope = jax.value_and_grad(kl)(logits)
    found = {
      estimate: jax.value_and_grad(lambda x, e=estimate: mean(e, x))(logits)
      for estimate in (off_policy, k1, k2, k3)
    }
    np.testing.assert_allclose(found[off_policy][0], value, rtol=1e-12)
    np.testing.assert_allclose(found[off_policy][1], slope, rtol=1e-12)
    for estimate in (k1, k2, k3):
      assert abs(found[estimate][0] - value) > 0.01 * value
      assert np.abs(found[estimate][1] - slope).max() > 0.01


def test_a_weighted_kl_without_the_policy_that_drew_is_refused():
  x, mask = A([[[-1.0]]]), A([[[True]]])
  with pytest.raises(ValueError, match="needs old_logps"):
    kl_penalty(0.1, "weighted_k3", x, x, mask)


def test_reductions_differ_when_lengths_do():
  # rows (1, 1) and (4): sequence mean (1 + 4) / 2, token mean 6 / 3
  x, mask = A([[[1.0, 1.0], [4.0, 9.0]]]), A([[[True, True], [True, False]]])
  assert sequence_mean(x, mask) == 2.5
  assert token_mean(x, mask) == 2.0


@pytest.mark.parametrize(
  ("ratio", "advantage", "slope"),
  [
    (1.0, 1.0, 1.0),
    (1.3, 1.0, 0.0),  # far enough the way A asks: no more push
    (0.7, 1.0, 1.0),  # the wrong way: pulled back
    (1.3, -1.0, -1.0),  # the wrong way: pulled back
    (0.7, -1.0, 0.0),  # far enough
  ],
)
def test_the_clip_stops_the_push_on_the_right_side_only(ratio, advantage, slope):
  def surrogate(rho):
    return clipped_surrogate(rho[None, None, None], A([[advantage]]), 0.2, 0.2).sum()

  assert jax.grad(surrogate)(A(ratio)) == slope


def test_dpo():
  # h_w = (-1 - -1.5) + (-1 - -1) = 0.5, h_l = (-2 - -1.5) + 0 = -0.5, z = 0.1 * 1
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  loss, metrics = dpo(**arrays, beta=0.1)
  np.testing.assert_allclose(loss, np.log1p(np.exp(-0.1)), rtol=1e-6)
  np.testing.assert_allclose(metrics["rewards/margins"], 0.1, rtol=1e-5)
  np.testing.assert_allclose(metrics["rewards/chosen"], 0.05, rtol=1e-5)
  np.testing.assert_allclose(metrics["logps/rejected"], -3.0)
  assert metrics["rewards/accuracies"] == 1
  smoothed = dpo(**arrays, beta=0.1, label_smoothing=0.2)[0]
  wanted = 0.8 * np.log1p(np.exp(-0.1)) + 0.2 * np.log1p(np.exp(0.1))
  np.testing.assert_allclose(smoothed, wanted, rtol=1e-6)


def test_dpo_at_the_reference_is_log_two_whichever_response_comes_first():
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.0, -1.0], [-2.0, -1.0])
  assert dpo(**arrays)[0] == pytest.approx(np.log(2))
  swapped = {name: x[:, ::-1] for name, x in arrays.items()}
  assert call(dpo, swapped)[0] == pytest.approx(np.log(2))


def test_a_batch_of_ties_has_dpo_loss_zero():
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  assert call(dpo, arrays | {"rewards": jnp.ones((1, 2))})[0] == 0


def test_ties_do_not_count_in_the_mean():
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  doubled = {name: jnp.concatenate([x, x]) for name, x in arrays.items()}
  doubled["rewards"] = A([[1.0, 0.0], [1.0, 1.0]])
  assert call(dpo, doubled)[0] == call(dpo, arrays)[0]


def test_pairs_of_a_larger_group():
  rewards, mask = A([[2.0, 1.0, 0.0, 0.0]]), jnp.ones((1, 4, 1), bool)
  best_worst = np.zeros((4, 4))
  best_worst[0, 2] = best_worst[0, 3] = 0.5  # two share the worst score, so they share the pair
  np.testing.assert_array_equal(pair_weights(rewards, mask)[0], best_worst)
  every = np.zeros((4, 4))
  every[0, 1:] = every[1, 2:] = 1
  np.testing.assert_array_equal(pair_weights(rewards, mask, "all")[0], every)


def test_grpo():
  # K=2, rewards (1, 0): A = +-0.5/0.5001. Ratios: row 1 e^0.1 at both tokens; row 2 e^-0.5, clipped
  # to 0.8 since A < 0. Sequence mean: (A e^0.1 - 0.8 A) / 2
  old = A([[[-1.0, -1.0], [-1.0, -1.0]]])
  logps = old + A([[[0.1, 0.1], [-0.5, -0.5]]])
  arrays = {"logps": logps, "old_logps": old, "rewards": A([[1.0, 0.0]])}
  loss, metrics = grpo(**arrays, mask=jnp.ones((1, 2, 2), bool))
  a = 0.5 / 0.5001
  np.testing.assert_allclose(loss, -(a * np.exp(0.1) - 0.8 * a) / 2, rtol=1e-6)
  assert metrics["clip_ratio/low_mean"] == 0.5
  assert metrics["clip_ratio/high_mean"] == 0
  with_kl, kl_metrics = grpo(**arrays, ref_logps=old, beta=0.1, mask=jnp.ones((1, 2, 2), bool))
  kl = (np.exp(-0.1) + 0.1 - 1 + np.exp(0.5) - 0.5 - 1) / 2  # k3 with d = -0.1 and 0.5
  np.testing.assert_allclose(kl_metrics["kl"], kl, rtol=1e-5)
  np.testing.assert_allclose(with_kl, loss + 0.1 * kl, rtol=1e-6)


def test_off_policy_grpo_uses_the_stored_log_probs_else_the_reference():
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  stand_in = off_policy_grpo(**arrays)[0]
  assert off_policy_grpo(**arrays, old_logps=arrays["ref_logps"])[0] == stand_in
  assert off_policy_grpo(**arrays, old_logps=arrays["logps"])[0] != stand_in


def test_off_policy_grpo_with_one_ratio_a_sequence():
  # rho = e^{h}: h = (0.5, -0.5) -> e^0.5 clipped to 1.2 (A > 0), e^-0.5 clipped to 0.8 (A < 0)
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  loss, _ = off_policy_grpo(**arrays, ratio="sequence", beta=0.0)
  np.testing.assert_allclose(loss, -(1.2 - 0.8) / 2 * 0.5 / 0.5001, rtol=1e-6)


def test_offline_grpo_weights():
  # centered: +-0.5 on sums -2 and -3, one group: -(0.5 * -2 - 0.5 * -3) = -0.5
  arrays = one_pair([-1.0, -1.0], [-2.0, -1.0], [-1.5, -1.0], [-1.5, -1.0])
  assert offline_grpo(**arrays)[0] == -0.5


def test_sft_imitates_the_best_response_per_token():
  arrays = one_pair([-1.0, -3.0], [-7.0, -7.0], [0.0, 0.0], [0.0, 0.0])
  loss, _ = sft(arrays["logps"], arrays["rewards"], arrays["mask"])
  assert loss == 2.0
