"""The policy gradients' numbers, worked out by hand, each with its derivation."""

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
from tests.algorithms.by_hand import GARBAGE, A, a, close, gradient, log, two_responses
from tests.algorithms.groups import arrays_of

NO_BASELINE = {"reward_baseline": None}

GOLDEN = {
  # Sequence mean: the first's tokens give 1.1 and 1.5 -> 1.2, mean 1.15; the second 0.5 -> 0.8.
  "grpo": (grpo, {}, -(1.15 - 0.8) / 2 * a),
  # A = +-0.5, all over B K max_tokens = 20.
  "dr_grpo": (dr_grpo, {"max_tokens": 10.0}, -0.5 * (1.1 + 1.2 - 0.8) / 20),
  # Three tokens; 1.5 -> 1.28.
  "dapo": (dapo, {}, -(1.1 + 1.28 - 0.8) / 3 * a),
  "bnpo": (dapo, {"clip_high": 0.2}, -(1.1 + 1.2 - 0.8) / 3 * a),
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
  "masked_off_policy_grpo_kept": (masked_off_policy_grpo, {"threshold": 0.7}, -0.35 / 2 * a),
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
  expected = {grpo: ((first + second) / 2 + third) / 2, dapo: sum(per_token) / 3}
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
  pair["old_logps"] = pair["logps"]  # nothing is clipped
  unscored = {name: jnp.concatenate([x, x[:, :1]], axis=1) for name, x in pair.items()}
  unscored["rewards"] = A([[1.0, 0.0, jnp.nan]])
  given = gradient(loss, arrays_of(loss, unscored | NO_BASELINE), beta=0.1)
  assert (given[0, 2] == 0).all()
  wanted = gradient(loss, arrays_of(loss, pair | NO_BASELINE), beta=0.1)
  assert (wanted != 0).any()
  close(3 * given[:, :2], 2 * wanted)  # the mean is over three rows


def test_metrics_of_soft_clipping():
  close(cispo(**two_responses(), ratio_cap=1.2)[1]["cispo_clip_ratio"], 1 / 3)
  mean_phi = (1.65**2 * np.exp(-1.95) + 0.5**3 * np.exp(1.0)) / 2
  close(vespo(**two_responses())[1]["vespo/phi_seq_mean"], mean_phi)


def test_the_bonus_pushes_the_entropy_of_every_token_that_counts():
  arrays = two_responses(entropy=A([[[1.0, 2.0], [3.0, jnp.inf]]]))
  close(gradient(entropy_bonus_grpo, arrays, "entropy", bonus=0.6), [[[-0.2, -0.2], [-0.2, 0]]])
