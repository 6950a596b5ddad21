"""Losses for post-training language models, each one pure function over arrays.

One prompt, and two responses to it of two tokens each; the first is the better one:

  >>> import jax.numpy as jnp
  >>> from algorithms import dpo, implied_rewards, off_policy_grpo
  >>> groups = {
  ...   "logps": jnp.array([[[-1.0, -0.5], [-2.0, -1.0]]]),  # [B, K, T], of the policy
  ...   "ref_logps": jnp.array([[[-1.0, -1.5], [-2.0, -1.0]]]),  # of the reference
  ...   "rewards": jnp.array([[1.0, 0.0]]),  # [B, K]
  ...   "mask": jnp.ones((1, 2, 2), bool),  # the tokens that count
  ... }
  >>> loss, metrics = dpo(**groups, beta=0.5)
  >>> print(f"{loss:.3f} = -log sigmoid({metrics['rewards/margins']:.1f})")
  0.474 = -log sigmoid(0.5)

The first response is a nat likelier than under the reference, the second as likely: times beta, the
margin is 0.5. The gradient, as a weight on each response's log-prob, is a push up and one down:

  >>> print(implied_rewards(dpo)(**groups, beta=0.5).round(2))
  [[ 0.19 -0.19]]

While the policy still is the reference, it is beta times that of GRPO with a ratio a response:

  >>> groups["logps"] = groups["ref_logps"]
  >>> print(implied_rewards(dpo)(**groups, beta=0.5).round(2))
  [[ 0.25 -0.25]]
  >>> print(implied_rewards(off_policy_grpo)(**groups, ratio="sequence").round(2))
  [[ 0.5 -0.5]]

Positional arguments are arrays, named from one vocabulary (`shapes.VOCABULARY`); keyword-only
arguments are the hyperparameters. Adding a loss = one function + one line here; the tests then find
it by themselves.
"""

from algorithms.anchored import apo_down, apo_zero, bco_pair, nca_pair, sppo_hard
from algorithms.covariance import clip_cov, kl_cov
from algorithms.dpo import discopop, dpo, exo_pair, hinge, ipo, robust_dpo, sigmoid_norm
from algorithms.dpo_weighted import ld_dpo, wpo
from algorithms.exploration import xpo
from algorithms.future_kl import fipo
from algorithms.group_contrast import amir_grpo, real
from algorithms.grpo import dapo, dr_grpo, grpo, two_sided_grpo, unclipped_grpo
from algorithms.grpo_extras import (
  entropy_bonus_grpo,
  gdpo,
  masked_off_policy_grpo,
  top_entropy_grpo,
  truncated_grpo,
)
from algorithms.implied_rewards import implied_rewards
from algorithms.kto import kto
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.off_policy_reinforce import asymre, opmd, rec_one_side, rec_ring, topr
from algorithms.optimal_transport import aot, aot_unpaired
from algorithms.other_baselines import (
  gpg,
  lite_ppo,
  opo,
  reinforce_plus_plus,
  reinforce_plus_plus_baseline,
  remax,
)
from algorithms.other_objectives import maxrl, pass_at_k
from algorithms.plackett_luce import plackett_luce_dpo
from algorithms.ppo import ppo
from algorithms.probit import probit_dpo, thurstone
from algorithms.reference_free import orpo, simpo
from algorithms.regression import a_star_po, gvpo, rebel
from algorithms.reinforce import reinforce, rloo
from algorithms.reward_model import bradley_terry
from algorithms.sequence_grpo import gmpo, gspo, luspo
from algorithms.soft_clipping import cispo, sapo, vespo
from algorithms.supervised import on_policy_distillation, sft
from algorithms.trust_region import dppo_kl, dppo_tv, m2po

LOSSES = {
  loss.__name__: loss
  for loss in (
    *(sft, on_policy_distillation, bradley_terry),
    *(dpo, robust_dpo, ipo, hinge, sigmoid_norm, exo_pair, discopop, ld_dpo, wpo),
    *(nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, kto),
    *(aot, aot_unpaired, simpo, orpo, plackett_luce_dpo),
    *(grpo, dr_grpo, dapo, unclipped_grpo, two_sided_grpo),
    *(gspo, luspo, gmpo, cispo, sapo, vespo),
    *(entropy_bonus_grpo, top_entropy_grpo, masked_off_policy_grpo, truncated_grpo, gdpo),
    *(rloo, reinforce, ppo, off_policy_grpo, offline_grpo),
    *(probit_dpo, thurstone, rebel, gvpo, a_star_po, real, amir_grpo, xpo),
    *(dppo_tv, dppo_kl, m2po, clip_cov, kl_cov, fipo),
    *(topr, asymre, opmd, rec_one_side, rec_ring),
    *(lite_ppo, reinforce_plus_plus, reinforce_plus_plus_baseline, gpg, opo, remax),
    *(maxrl, pass_at_k),
  )
}

__all__ = ["LOSSES", "implied_rewards", *LOSSES]
