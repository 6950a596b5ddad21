"""The policy gradients' numbers, worked out by hand, each with its derivation.

Most examples are `two_responses`: one prompt, a response of two tokens and one of one token, with
rewards (1, 0), so A = +-a with a = 0.5 / 0.5001, and ratios (1.1, 1.5 | 0.5).
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import (
  LOSSES,
  bnpo,
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
  ppo,
  reinforce,
  rloo,
  sapo,
  top_entropy_grpo,
  truncated_grpo,
  two_sided_grpo,
  unclipped_grpo,
  vespo,
)
from algorithms.advantages import (
  batch_relative,
  centered,
  generalized_advantages,
  group_relative,
  leave_one_out,
  per_reward,
  whiten,
)
from algorithms.corrections import (
  off_policy_sequence_mask,
  top_entropy_mask,
  truncated_importance_weights,
)
from algorithms.policy_gradient import constant_mean, geometric_mean_ratio
from tests.algorithms.groups import arrays_of

A = jnp.array
a = 0.5 / 0.5001
log = np.log
GARBAGE = 9.0  # at the padded token
NO_BASELINE = {"reward_baseline": None}


def two_responses(**others):
  old = A([[[-1.0, -2.0], [-1.5, GARBAGE]]])
  return {
    "logps": old + jnp.log(A([[[1.1, 1.5], [0.5, GARBAGE]]])),
    "old_logps": old,
    "rewards": A([[1.0, 0.0]]),
    "mask": A([[[True, True], [True, False]]]),
  } | others


def one_token_responses(ratio, better):
  """Two responses of one token; the first has this ratio, and the better or the worse reward."""
  return {
    "logps": A([[[log(ratio)], [0.0]]], jnp.float32),
    "old_logps": jnp.zeros((1, 2, 1)),
    "rewards": A([[1.0, 0.0]] if better else [[0.0, 1.0]]),
    "mask": jnp.ones((1, 2, 1), bool),
  }


def gradient(loss, arrays, name="logps", **options):
  return jax.grad(lambda x: loss(**arrays | {name: x}, **options)[0])(arrays[name])


def close(x, y, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


# --- the parts ------------------------------------------------------------------------------------


def test_batch_relative():
  # group means 0.5 and 2.5: deviations +-0.5; batch mean 1.5, squares 0.25 2.25 2.25 0.25, sum 5
  rewards = A([[1.0, 0.0], [3.0, 2.0]])
  scale = 0.5 / np.sqrt(5 / 4)
  close(batch_relative(rewards, eps=0.0), [[scale, -scale], [scale, -scale]])
  scale = 0.5 / np.sqrt(5 / 3)
  close(batch_relative(rewards, ddof=1, eps=0.0), [[scale, -scale], [scale, -scale]])


def test_per_reward():
  # Group 1 has both rewards at odds, group 2 the first only: each is +-1 in its group, the sums are
  # +-2 and +-1, their variance (4 + 4 + 1 + 1) / 4 = 2.5.
  parts = A([[[1.0, 5.0], [0.0, 3.0]], [[1.0, 3.0], [0.0, 3.0]]])
  s = np.sqrt(2.5)
  close(per_reward(parts, eps=1e-7), [[2 / s, -2 / s], [1 / s, -1 / s]])
  # ddof = 1: each +-1/sqrt 2; sums +-sqrt 2 and +-1/sqrt 2; variance (2 + 2 + 0.5 + 0.5) / 3
  s = np.sqrt(5 / 3)
  wanted = [[np.sqrt(2) / s, -np.sqrt(2) / s], [np.sqrt(0.5) / s, -np.sqrt(0.5) / s]]
  close(per_reward(parts, ddof=1, eps=1e-7), wanted)


def test_a_response_that_one_of_the_rewards_does_not_judge_still_has_the_others():
  # Reward 1 judges all: deviations (1, 0, -1), variance 2/3, so +-r with r = sqrt 1.5. Reward 2
  # leaves the third out: (1, -1, -). Sums (r + 1, -1, -r); their mean is 0.
  parts = A([[[3.0, 5.0], [2.0, 3.0], [1.0, jnp.nan]]])
  r = np.sqrt(1.5)
  sums = np.array([[r + 1, -1, -r]])
  close(per_reward(parts, eps=0.0), sums / np.sqrt((sums**2).mean()))


@pytest.mark.parametrize(
  "advantages", [centered, group_relative, batch_relative, leave_one_out, per_reward]
)
def test_an_unscored_response_leaves_its_group_as_if_it_were_not_there(advantages):
  rewards = A([[1.0, 0.0, 3.0], [0.0, 2.0, 7.0]])
  with_unscored = jnp.insert(rewards, 1, jnp.nan, axis=1)
  if advantages is per_reward:
    rewards, with_unscored = (
      jnp.stack([rewards, rewards**2], axis=2),
      jnp.stack([with_unscored, with_unscored**2], axis=2),
    )
  given = advantages(with_unscored)
  assert (given[:, 1] == 0).all()
  close(jnp.delete(given, 1, axis=1), advantages(rewards))


def test_generalized_advantages_of_unequal_lengths():
  # gamma = lambda = 1/2. Row 1, values 0.5 1 2, reward 1 at the end:
  #   delta = (0 + 1/2 - 1/2, 0 + 2/2 - 1, 1 - 2) = (0, 0, -1)
  #   A_3 = -1, A_2 = 0 + A_3 / 4 = -1/4, A_1 = A_2 / 4 = -1/16
  # Row 2 ends after one token with reward 2 and value 0.5: A_1 = 2 - 0.5, whatever comes after.
  rewards = A([[[0.0, 0.0, 1.0], [2.0, 99.0, jnp.inf]]])
  values = A([[[0.5, 1.0, 2.0], [0.5, 99.0, jnp.nan]]])
  mask = A([[[True, True, True], [True, False, False]]])
  given = generalized_advantages(rewards, values, mask, 0.5, 0.5)
  np.testing.assert_array_equal(given, [[[-1 / 16, -1 / 4, -1], [1.5, 0, 0]]])


def test_whiten_looks_at_tokens_that_count_only():
  # 1 and 3: mean 2, variance 1
  x, mask = A([[[1.0, 3.0], [100.0, jnp.nan]]]), A([[[True, True], [False, False]]])
  close(whiten(x, mask), [[[-1, 1], [0, 0]]])


def test_constant_mean_divides_by_no_length():
  # (1 + 1 + 4) / (1 * 2 * 5)
  x, mask = A([[[1.0, 1.0], [4.0, 9.0]]]), A([[[True, True], [True, False]]])
  close(constant_mean(x, mask, 5.0), 0.6)


def test_geometric_mean_ratio():
  # sqrt(2 * 8) = 4, and 8 alone
  log_ratio, mask = jnp.log(A([[[2.0, 8.0], [8.0, 3.0]]])), A([[[True, True], [True, False]]])
  close(geometric_mean_ratio(log_ratio, mask), [[[4, 4], [8, 1]]])


# --- the losses -----------------------------------------------------------------------------------

GOLDEN = {
  # Sequence mean: the first's tokens give 1.1 and 1.5 -> 1.2, mean 1.15; the second 0.5 -> 0.8.
  "grpo": (grpo, {}, -(1.15 - 0.8) / 2 * a),
  # A = +-0.5, all over B K max_tokens = 20.
  "dr_grpo": (dr_grpo, {"max_tokens": 10.0}, -0.5 * (1.1 + 1.2 - 0.8) / 20),
  # Three tokens; 1.5 -> 1.28.
  "dapo": (dapo, {}, -(1.1 + 1.28 - 0.8) / 3 * a),
  "bnpo": (bnpo, {}, -(1.1 + 1.2 - 0.8) / 3 * a),
  "unclipped_grpo": (unclipped_grpo, {}, -(1.3 - 0.5) / 2 * a),
  # The first is now the worse: A = -a on 1.1 and on 1.5, which only the cap holds: mean 1.25.
  "two_sided_grpo": (
    two_sided_grpo,
    {"ratio_cap": 1.4, "rewards": A([[0.0, 1.0]])},
    -(-1.25 + 0.5) / 2 * a,
  ),
  # s = (sqrt 1.65, 0.5): inside this clip; the next line's cuts both.
  "gspo": (gspo, {"clip_low": 0.6, "clip_high": 0.3}, -(np.sqrt(1.65) - 0.5) / 2 * a),
  "gspo_clipped": (gspo, {"clip_low": 0.4, "clip_high": 0.2}, -(1.2 - 0.6) / 2 * a),
  # The same, times the length.
  "luspo": (luspo, {"clip_low": 0.6, "clip_high": 0.3}, -(2 * np.sqrt(1.65) - 0.5) / 2 * a),
  # log 1.5 = 0.405 -> 0.4, log 0.5 = -0.69 -> -0.4.
  "gmpo": (gmpo, {}, -(np.sqrt(1.1 * np.exp(0.4)) - np.exp(-0.4)) / 2 * a),
  # Weights 1.1, 1.2 (the cap), 0.5 on the log-probs.
  "cispo": (
    cispo,
    {"ratio_cap": 1.2},
    -(1.1 * (-1 + log(1.1)) + 1.2 * (-2 + log(1.5)) - 0.5 * (-1.5 + log(0.5))) / 3 * a,
  ),
  # 4 sigmoid(rho - 1) where A > 0; 4/2 sigmoid(2 (rho - 1)) where A < 0.
  "sapo": (
    sapo,
    {"temperature_neg": 2.0},
    -(2 / (1 + np.exp(-0.1)) + 2 / (1 + np.exp(-0.5)) - 2 / (1 + np.exp(1.0))) / 2 * a,
  ),
  # w = 1.1 * 1.5 = 1.65 and 0.5: phi = 1.65^2 e^(3 (1 - 1.65)) and 0.5^3 e^(2 (1 - 0.5)).
  "vespo": (
    vespo,
    {},
    -(1.65**2 * np.exp(-1.95) * (-3 + log(1.65)) - 0.5**3 * np.exp(1.0) * (-1.5 + log(0.5)))
    / 3
    * a,
  ),
  # A = +-1; rho = 1.65 -> 1.2 and 0.5 -> 0.8.
  "rloo": (rloo, {}, -(1.2 - 0.8) / 2),
  # log pi_old - log pi_ref = (0.2, 0.3 | -0.5): R = (1 - 0.2 * 0.5, 0 + 0.2 * 0.5), A = +-0.8.
  "rloo_kl": (
    rloo,
    {"beta": 0.2, "ref_logps": A([[[-1.2, -2.3], [-1.0, GARBAGE]]])},
    -0.8 * (1.2 - 0.8) / 2,
  ),
  # The mean entropy of a token is 2.
  "entropy_bonus_grpo": (
    entropy_bonus_grpo,
    {"bonus": 0.5, "entropy": A([[[1.0, 2.0], [3.0, GARBAGE]]])},
    -(1.15 - 0.8) / 2 * a - 1.0,
  ),
  # The median of 1, 2, 3 is 2: the first token is left out, and its row still divided by 2.
  "top_entropy_grpo": (
    top_entropy_grpo,
    {"share": 0.5, "entropy": A([[[1.0, 2.0], [3.0, GARBAGE]]])},
    -(1.2 / 2 - 0.8) / 2 * a,
  ),
  # The second is bad, and log(pi_old / pi_theta) = log 2 = 0.69 nats stale.
  "masked_off_policy_grpo": (masked_off_policy_grpo, {"threshold": 0.69}, -1.15 / 2 * a),
  "masked_off_policy_grpo_kept": (
    masked_off_policy_grpo,
    {"threshold": 0.7},
    -(1.15 - 0.8) / 2 * a,
  ),
  # pi_old / pi_sampler = (3 -> 2, 0.5 | 1.5): 2 * 1.1 and 0.5 * 1.2, mean 1.4; 1.5 * 0.8 = 1.2.
  "truncated_grpo": (
    truncated_grpo,
    {"sampler_logps": A([[[-1 - log(3), -2 - log(0.5)], [-1.5 - log(1.5), GARBAGE]]])},
    -(1.4 - 1.2) / 2 * a,
  ),
  # The whole first response: 3 * 0.5 = 1.5, on its mean of 1.15.
  "truncated_grpo_sequence": (
    truncated_grpo,
    {
      "level": "sequence",
      "sampler_logps": A([[[-1 - log(3), -2 - log(0.5)], [-1.5 - log(1.5), GARBAGE]]]),
    },
    -(1.5 * 1.15 - 1.2) / 2 * a,
  ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_value_by_hand(name):
  loss, inputs, wanted = GOLDEN[name]
  close(loss(**two_responses() | inputs)[0], wanted)


def test_gdpo():
  # Both rewards prefer the first response: 0.5 / 0.5001 + 1 / 1.0001 = t, over its own size + 1e-4.
  arrays = two_responses(reward_parts=A([[[1.0, 5.0], [0.0, 3.0]]]))
  del arrays["rewards"]
  t = a + 1 / 1.0001
  close(gdpo(**arrays)[0], -(1.15 - 0.8) / 2 * t / (t + 1e-4))


@pytest.mark.parametrize(
  ("kl", "per_token"),
  [
    # log pi_theta - log pi_ref = (log 2, log 2 | -log 2)
    ("k1", [log(2), log(2), -log(2)]),
    ("k2", [log(2) ** 2 / 2] * 3),
    ("k3", [0.5 + log(2) - 1, 0.5 + log(2) - 1, 2 - log(2) - 1]),
  ],
)
def test_the_kl_term_is_averaged_as_the_loss_is(kl, per_token):
  arrays = two_responses()
  arrays["ref_logps"] = arrays["logps"] - log(2) * A([[[1.0, 1.0], [-1.0, jnp.inf]]])
  first, second, third = per_token
  expected = {grpo: ((first + second) / 2 + third) / 2, bnpo: sum(per_token) / 3}
  expected |= {dr_grpo: sum(per_token) / (2 * 256), luspo: sum(per_token) / 2}
  for loss, wanted in expected.items():
    without = loss(**arrays)[0]
    with_kl, metrics = loss(**arrays, beta=0.1, kl=kl)
    close(with_kl - without, 0.1 * wanted)
    close(metrics["kl"], sum(per_token) / 3)


def test_reinforce():
  # l = (-3 + log 1.65, -1.5 + log 0.5), rewards (1, 0)
  arrays = arrays_of(reinforce, two_responses(ref_logps=None) | NO_BASELINE)
  first, second = -3 + log(1.65), -1.5 + log(0.5)
  close(reinforce(**arrays)[0], -(0.5 * first - 0.5 * second) / 2)
  close(reinforce(**arrays, baseline="none")[0], -first / 2)
  running = arrays | {"reward_baseline": jnp.full((1, 2), 0.25)}
  close(reinforce(**running, baseline="running")[0], -(0.75 * first - 0.25 * second) / 2)
  # log pi_theta - log pi_ref = (0.5, 0.5 | 2): R = (1 - 0.1, 0 - 0.2), mean 0.35
  arrays["ref_logps"] = arrays["logps"] - A([[[0.5, 0.5], [2.0, 7.0]]])
  loss, metrics = reinforce(**arrays, beta=0.1)
  close(loss, -(0.55 * first - 0.55 * second) / 2)
  close(metrics["kl"], 1.0)
  # The KL in the reward is a constant: the gradient is -(R - b) / (B K) at each token.
  close(gradient(reinforce, arrays, beta=0.1), [[[-0.275, -0.275], [0.275, 0]]])


def test_reinforce_without_its_running_baseline_is_an_error():
  arrays = arrays_of(reinforce, two_responses(ref_logps=None) | NO_BASELINE)
  with pytest.raises(ValueError, match="needs reward_baseline"):
    reinforce(**arrays, baseline="running")


# beta = 0.1 and log pi_old - log pi_ref = (1, -1 | 2): token rewards (-0.1, 0.1 + 1 | -0.2 + 0).
# gamma = 1, lambda = 1/2, V_old = (0.5, 0.6 | 0.2):
#   row 1: delta_2 = 1.1 - 0.6 = 0.5, delta_1 = -0.1 + 0.6 - 0.5 = 0: A = (0 + 0.5 / 2, 0.5)
#   row 2: A = -0.2 - 0.2;   returns A + V_old = (0.75, 1.1 | -0.2)
PPO = {
  "ref_logps": A([[[-2.0, -1.0], [-3.5, GARBAGE]]]),
  "old_values": A([[[0.5, 0.6], [0.2, GARBAGE]]]),
  "values": A([[[1.0, 0.7], [0.1, jnp.inf]]]),
}
PPO_OPTIONS = {"beta": 0.1, "gae_lambda": 0.5}


def test_ppo():
  raw = np.array([0.25, 0.5, -0.4])
  white = (raw - raw.mean()) / raw.std()
  # ratios 1.1, 1.5 -> 1.2 (A > 0), 0.5 -> 0.8 (A < 0)
  policy_loss = -(1.1 * white[0] + 1.2 * white[1] + 0.8 * white[2]) / 3
  # V - R = 0.25, -0.4, 0.3; V = 1 is clipped to 0.5 + 0.2, whose error 0.05 is the smaller one
  value_loss = (0.25**2 + 0.4**2 + 0.3**2) / 2 / 3
  loss, metrics = ppo(**two_responses(**PPO), **PPO_OPTIONS)
  close(loss, policy_loss + 0.1 * value_loss)
  close(metrics["policy_loss"], policy_loss)
  close(metrics["value_loss"], value_loss)
  close(metrics["kl"], 2 / 3)
  close(metrics["value/clip_ratio"], 1 / 3)
  # R - V = (-0.25, 0.4, -0.3)
  explained = 1 - np.var([-0.25, 0.4, -0.3]) / np.var([0.75, 1.1, -0.2])
  close(metrics["value/explained_variance"], explained)


def test_ppos_value_loss_is_the_larger_of_two_errors_and_pulls_the_values_to_the_returns():
  arrays = two_responses(**PPO)
  slope = gradient(ppo, arrays, "values", **PPO_OPTIONS, value_weight=1.0)
  close(slope, A([[[0.25, -0.4], [0.3, 0.0]]]) / 3)
  # V = 0.72, R = 0.75: the clipped value 0.7 is further from R, and does not move with V.
  arrays["values"] = arrays["values"].at[0, 0, 0].set(0.72)
  assert gradient(ppo, arrays, "values", **PPO_OPTIONS)[0, 0, 0] == 0


def test_an_unscored_response_counts_in_neither_part_of_ppo():
  arrays = two_responses(**PPO)
  alone = {name: x[:, :1] for name, x in arrays.items()}  # and K = 1 is no problem for PPO
  unscored = arrays | {"rewards": A([[1.0, jnp.nan]])}
  close(ppo(**unscored, **PPO_OPTIONS)[0], ppo(**alone, **PPO_OPTIONS)[0])
  for name in ("logps", "values"):
    slope = gradient(ppo, unscored, name, **PPO_OPTIONS)
    assert (slope[0, 1] == 0).all()
    close(slope[:, :1], gradient(ppo, alone, name, **PPO_OPTIONS))
    assert (slope[0, 0] != 0).any()


@pytest.mark.parametrize("loss", [rloo, reinforce])
def test_the_kl_in_the_reward_does_not_score_an_unscored_response(loss):
  pair = two_responses(ref_logps=A([[[-1.2, -2.3], [-1.0, GARBAGE]]]))
  unscored = {name: jnp.concatenate([x, x[:, :1]], axis=1) for name, x in pair.items()}
  unscored["rewards"] = A([[1.0, 0.0, jnp.nan]])
  given = gradient(loss, arrays_of(loss, unscored | NO_BASELINE), beta=0.1)
  assert (given[0, 2] == 0).all()
  wanted = gradient(loss, arrays_of(loss, pair | NO_BASELINE), beta=0.1)
  assert (wanted != 0).any()
  close(3 * given[:, :2], 2 * wanted)  # the mean is over three rows


# --- clips ----------------------------------------------------------------------------------------


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
  without_clip = gradient(unclipped_grpo, arrays)[0, 0, 0]
  close(gradient(loss, arrays)[0, 0, 0] / without_clip, push)
  metrics = loss(**arrays)[1]
  if loss is not two_sided_grpo:
    close(metrics["clip_ratio/region_mean"], (1 - push) / 2)  # of the two tokens


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
  sign = 1 if better else -1
  close(gradient(loss, arrays)[0, 0, 0], -sign * a * weight / 2)


def test_cispo_counts_what_its_cap_holds():
  assert cispo(**two_responses(), ratio_cap=1.2)[1]["cispo_clip_ratio"] == pytest.approx(1 / 3)
  assert vespo(**two_responses())[1]["vespo/phi_seq_mean"] == pytest.approx(
    (1.65**2 * np.exp(-1.95) + 0.5**3 * np.exp(1.0)) / 2
  )


# --- corrections ----------------------------------------------------------------------------------


def test_the_bonus_pushes_the_entropy_of_every_token_that_counts():
  arrays = two_responses(entropy=A([[[1.0, 2.0], [3.0, jnp.inf]]]))
  close(gradient(entropy_bonus_grpo, arrays, "entropy", bonus=0.6), [[[-0.2, -0.2], [-0.2, 0]]])


def test_the_share_of_tokens_with_the_highest_entropy():
  mask = A([[[True, True, True], [True, True, False]]])
  entropy = A([[[5.0, 1.0, 3.0], [2.0, 4.0, 99.0]]])
  # of 1 2 3 4 5: the 0.8-quantile is 4.2, the 0.5-quantile 3, the 0-quantile 1
  for share, kept in ((0.2, [5]), (0.5, [3, 4, 5]), (1.0, [1, 2, 3, 4, 5])):
    given = top_entropy_mask(entropy, mask, share)
    np.testing.assert_array_equal(np.sort(entropy[given]), kept)
  assert not top_entropy_mask(entropy, jnp.zeros_like(mask), 0.5).any()


def test_only_bad_and_stale_responses_are_left_out():
  # staleness: the mean over two tokens of log pi_old - log pi_theta, (0.6 + 0.2) / 2 = 0.4
  old, mask = jnp.zeros((1, 1, 3)), A([[[True, True, False]]])
  logps = A([[[-0.6, -0.2, -50.0]]])
  for advantage, threshold, kept in ((-1.0, 0.41, True), (-1.0, 0.39, False), (1.0, 0.39, True)):
    given = off_policy_sequence_mask(logps, old, A([[advantage]]), mask, threshold)
    assert given.item() == kept


def test_truncated_importance_weights():
  # log pi_old - log pi_sampler = log 3, log 0.5, and garbage at the padding
  old, mask = jnp.log(A([[[3.0, 0.5, 9.0]]])), A([[[True, True, False]]])
  sampler = jnp.zeros_like(old)
  close(truncated_importance_weights(old, sampler, mask, "token", 2.0), [[[2, 0.5, 1]]])
  close(truncated_importance_weights(old, sampler, mask, "sequence", 2.0), [[[1.5, 1.5, 1]]])
  close(truncated_importance_weights(old, sampler, mask, "sequence", 1.2), [[[1.2, 1.2, 1]]])


def test_every_policy_gradient_of_the_table_has_a_value_here():
  """Those that have one elsewhere aside; a loss that weighs log-probs by a ratio has `old_logps`."""
  here = {loss for loss, _, _ in GOLDEN.values()} | {reinforce, ppo, gdpo}
  elsewhere = {LOSSES["off_policy_grpo"]}
  for loss in LOSSES.values():
    if "old_logps" in inspect.signature(loss).parameters:
      assert loss in here | elsewhere
