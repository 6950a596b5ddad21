"""Losses for post-training language models, each one pure function over arrays.

  from algorithms import dpo
  loss, metrics = dpo(logps, ref_logps, rewards, mask, beta=0.1)

Positional arguments are arrays, named from one vocabulary (`shapes`); keyword-only arguments are
the hyperparameters. Adding a loss = one function + one line here; the tests then find it by
themselves.
"""

from algorithms.anchored import apo_down, apo_zero, bco_pair, nca_pair, sppo_hard
from algorithms.dpo import discopop, dpo, exo_pair, hinge, ipo, robust_dpo, sigmoid_norm
from algorithms.dpo_weighted import ld_dpo, wpo
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
from algorithms.optimal_transport import aot, aot_unpaired
from algorithms.plackett_luce import plackett_luce_dpo
from algorithms.ppo import ppo
from algorithms.reference_free import orpo, simpo
from algorithms.reinforce import reinforce, rloo
from algorithms.reward_model import bradley_terry
from algorithms.sequence_grpo import gmpo, gspo, luspo
from algorithms.soft_clipping import cispo, sapo, vespo
from algorithms.supervised import sft

LOSSES = {
  loss.__name__: loss
  for loss in (
    *(sft, bradley_terry),
    *(dpo, robust_dpo, ipo, hinge, sigmoid_norm, exo_pair, discopop, ld_dpo, wpo),
    *(nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, kto),
    *(aot, aot_unpaired, simpo, orpo, plackett_luce_dpo),
    *(grpo, dr_grpo, dapo, unclipped_grpo, two_sided_grpo),
    *(gspo, luspo, gmpo, cispo, sapo, vespo),
    *(entropy_bonus_grpo, top_entropy_grpo, masked_off_policy_grpo, truncated_grpo, gdpo),
    *(rloo, reinforce, ppo, off_policy_grpo, offline_grpo),
  )
}

__all__ = ["LOSSES", "implied_rewards", *LOSSES]
