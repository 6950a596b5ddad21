"""Our losses give TRL 1.16's numbers: the loss and its gradient, to 1e-6 in float64.

`trl/trl_1_16_0.npz` holds what TRL's own trainers computed (`trl/make_fixtures.py` calls them, with
TRL's options). Each line of the table below is one of its cases and the loss of ours that gives the
same. TRL divides a group's variance by K - 1, hence ddof=1.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES
from algorithms.advantages import batch_relative
from algorithms.policy_gradient import clipped_surrogate, token_ratio
from algorithms.reductions import sequence_mean
from tests.algorithms.groups import call

FIXTURES = np.load(pathlib.Path(__file__).parent / "trl" / "trl_1_16_0.npz")


def grpo_scaled_by_the_batch(logps, old_logps, rewards, mask):
  """TRL's scale_rewards="batch": none of our losses by name, but a line of their parts."""
  advantages = batch_relative(rewards, ddof=1)
  objective = clipped_surrogate(token_ratio(logps, old_logps, mask), advantages, 0.2, 0.2)
  return -sequence_mean(objective, mask), {}


OURS = LOSSES | {"grpo_scaled_by_the_batch": grpo_scaled_by_the_batch}
KL = {"beta": 0.1}
WEIGHTED = KL | {"kl": "weighted_k3"}  # TRL's use_bias_correction_kl
CASES = (
  ("sigmoid", "dpo", {"beta": 0.5}),
  ("sigmoid", "plackett_luce_dpo", {"beta": 0.5}),
  ("sigmoid_js", "dpo", {"beta": 0.5, "divergence": "js"}),
  ("sigmoid_forward_kl", "dpo", {"beta": 0.5, "divergence": "forward_kl"}),
  ("sigmoid_alpha_0.5", "dpo", {"beta": 0.5, "divergence": "alpha", "alpha": 0.5}),
  ("sigmoid_alpha_1.0", "dpo", {"beta": 0.5, "divergence": "alpha", "alpha": 1.0}),
  ("sigmoid_alpha_2.0", "dpo", {"beta": 0.5, "divergence": "alpha", "alpha": 2.0}),
  # In TRL this smoothing is CPO's, computed here on log-ratios.
  ("sigmoid_smoothed", "dpo", {"beta": 0.5, "label_smoothing": 0.1}),
  ("ipo", "ipo", {"beta": 0.5}),
  ("ipo_js", "ipo", {"beta": 0.5, "divergence": "js"}),
  ("exo_pair", "exo_pair", {"beta": 0.5, "label_smoothing": 0.1}),
  ("exo_pair_js", "exo_pair", {"beta": 0.5, "label_smoothing": 0.1, "divergence": "js"}),
  ("robust", "robust_dpo", {"beta": 0.5, "label_smoothing": 0.1}),
  ("robust_js", "robust_dpo", {"beta": 0.5, "label_smoothing": 0.1, "divergence": "js"}),
  ("hinge", "hinge", {"beta": 3.0}),
  ("hinge_js", "hinge", {"beta": 3.0, "divergence": "js"}),
  ("discopop", "discopop", {"beta": 0.5, "tau": 0.5}),
  ("discopop_js", "discopop", {"beta": 0.5, "tau": 0.5, "divergence": "js"}),
  ("sigmoid_norm", "sigmoid_norm", {"beta": 0.5}),
  ("sigmoid_norm_js", "sigmoid_norm", {"beta": 0.5, "divergence": "js"}),
  ("ld_dpo", "ld_dpo", {"beta": 0.5, "ld_alpha": 0.3}),
  ("wpo", "wpo", {"beta": 0.5}),
  ("nca_pair", "nca_pair", {"beta": 0.5}),
  ("bco_pair", "bco_pair", {"beta": 0.5}),
  ("sppo_hard", "sppo_hard", {"beta": 0.5}),
  ("apo_zero", "apo_zero", {"beta": 0.5}),
  ("apo_down", "apo_down", {"beta": 0.5}),
  ("aot", "aot", {"beta": 0.5}),
  ("aot_smoothed", "aot", {"beta": 0.5, "label_smoothing": 0.1}),
  ("aot_unpaired", "aot_unpaired", {"beta": 0.5}),
  ("aot_unpaired_smoothed", "aot_unpaired", {"beta": 0.5, "label_smoothing": 0.1}),
  ("sft", "sft", {}),
  # TRL's z0 comes from prompts beside other prompts' responses; it is fed the batch's own, as ours.
  ("kto_above", "kto", {"beta": 0.5, "undesirable_weight": 1.3, "threshold": 0.0}),
  ("kto_below", "kto", {"beta": 0.5, "undesirable_weight": 1.3, "threshold": 0.0}),
  # TRL averages the likelihood of the chosen over tokens, we over responses: here they are equally
  # long. TRL's also runs over the prompt, which is one token here and so has none to predict.
  ("orpo", "orpo", {"weight": 0.2}),
  ("simpo", "simpo", {"beta": 2.0, "gamma": 0.5}),
  ("reward_model", "bradley_terry", {}),
  ("reward_model_margin", "bradley_terry", {"margin": 0.5}),
  ("reward_model_centering", "bradley_terry", {"centering": 0.1}),
  ("grpo", "grpo", {"ddof": 1}),
  ("grpo_kl", "grpo", KL | {"ddof": 1}),
  ("grpo_kl", "off_policy_grpo", KL | {"ddof": 1}),
  ("grpo_kl_weighted", "grpo", WEIGHTED | {"ddof": 1}),
  ("grpo_kl_weighted", "off_policy_grpo", WEIGHTED | {"ddof": 1}),
  ("dapo_kl_weighted", "dapo", WEIGHTED | {"ddof": 1}),
  ("cispo_kl_weighted", "cispo", WEIGHTED | {"ddof": 1, "ratio_cap": 1.2}),
  ("grpo_unscored", "grpo", KL | {"ddof": 1}),
  ("grpo_unclipped", "unclipped_grpo", {"ddof": 1}),  # TRL: with clips of 1e9
  ("grpo_two_sided", "two_sided_grpo", {"ddof": 1, "ratio_cap": 1.5}),
  ("dr_grpo", "dr_grpo", KL | {"max_tokens": 256.0}),
  ("dapo", "dapo", KL | {"ddof": 1}),
  ("bnpo", "dapo", KL | {"ddof": 1, "clip_high": 0.2}),
  ("gspo", "gspo", KL | {"ddof": 1, "clip_low": 0.05, "clip_high": 0.1}),
  ("luspo", "luspo", {"ddof": 1, "clip_low": 0.05, "clip_high": 0.1}),
  ("luspo_kl", "luspo", KL | {"ddof": 1, "clip_low": 0.2, "clip_high": 0.2}),
  ("gmpo", "gmpo", KL | {"ddof": 1, "clip_low": 0.3, "clip_high": 0.4}),
  ("cispo", "cispo", KL | {"ddof": 1, "ratio_cap": 1.2}),
  ("sapo", "sapo", KL | {"ddof": 1, "temperature_pos": 1.0, "temperature_neg": 1.5}),
  ("vespo", "vespo", KL | {"ddof": 1}),
  ("entropy_bonus", "entropy_bonus_grpo", KL | {"ddof": 1, "bonus": 0.05}),
  ("top_entropy", "top_entropy_grpo", KL | {"ddof": 1, "share": 0.3}),
  ("off_policy_mask", "masked_off_policy_grpo", KL | {"ddof": 1, "threshold": 0.05}),
  ("truncated_token", "truncated_grpo", KL | {"ddof": 1, "level": "token", "ratio_cap": 1.2}),
  ("truncated_sequence", "truncated_grpo", KL | {"ddof": 1, "level": "sequence", "ratio_cap": 1.2}),
  ("batch_scaled", "grpo_scaled_by_the_batch", {}),
  ("decoupled_rewards", "gdpo", {"ddof": 1}),
  ("decoupled_rewards_unscored", "gdpo", {"ddof": 1}),
  ("decoupled_rewards_part_unscored", "gdpo", {"ddof": 1}),
  ("rloo", "rloo", {"beta": 0.2}),
  ("rloo_unscored", "rloo", {"beta": 0.2}),
)

NOT_IN_TRL = {
  "offline_grpo": "TRL samples while it trains; with weights='dpo' the gradient is DPO's",
  "a_star_po": "TRL samples while it trains",
  "xpo": "TRL samples while it trains; its policy's response wins a tie",
  "reinforce": "TRL's trainers have a group baseline, or RLOO's",
  "ppo": "TRL 1.16 has no PPO trainer any more",
} | dict.fromkeys(
  (
    "dppo_tv dppo_kl m2po topr asymre opmd rec_one_side rec_ring probit_dpo thurstone rebel gvpo "
    "clip_cov kl_cov lite_ppo reinforce_plus_plus reinforce_plus_plus_baseline gpg opo maxrl "
    "pass_at_k fipo real amir_grpo remax on_policy_distillation"
  ).split(),
  "not a loss of TRL 1.16's trainers",
)


def inputs(case):
  batch = f"{FIXTURES[f'{case}/batch']}/"
  return {
    name.removeprefix(batch): jnp.asarray(FIXTURES[name])
    for name in FIXTURES.files
    if name.startswith(batch)
  }


@pytest.mark.parametrize(
  ("case", "loss", "options"), CASES, ids=[f"{case}-{loss}" for case, loss, _ in CASES]
)
def test_loss_and_gradient_are_those_of_trl(case, loss, options):
  gradients = f"{case}/gradient/"
  words = [name.removeprefix(gradients) for name in FIXTURES.files if name.startswith(gradients)]
  with jax.enable_x64(True):
    arrays = inputs(case)

    def value(differentiable):
      return call(OURS[loss], arrays | differentiable, **options)[0]

    ours, slopes = jax.jit(jax.value_and_grad(value))({word: arrays[word] for word in words})
    np.testing.assert_allclose(ours, FIXTURES[f"{case}/loss"], rtol=1e-6)
    for word in words:
      trl = FIXTURES[gradients + word]
      np.testing.assert_allclose(slopes[word], trl, rtol=1e-6, atol=1e-12, err_msg=word)


def test_every_case_of_trl_is_compared():
  assert {name.partition("/")[0] for name in FIXTURES.files if name.endswith("/loss")} == {
    case for case, *_ in CASES
  }


def test_every_loss_is_compared_or_says_why_not():
  compared = {loss for _, loss, _ in CASES if loss in LOSSES}
  assert sorted([*compared, *NOT_IN_TRL]) == sorted(LOSSES)


def test_every_option_shows_in_trls_loss():
  """Inputs on which, say, nothing is clipped would compare nothing."""
  losses = {case: FIXTURES[f"{case}/loss"].item() for case, *_ in CASES}
  del losses["sigmoid_alpha_1.0"]  # is reverse_kl
  assert len({round(loss, 9) for loss in losses.values()}) == len(losses)
