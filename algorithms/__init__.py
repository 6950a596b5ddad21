"""Losses for post-training language models, each one pure function over arrays.

  from algorithms import dpo
  loss, metrics = dpo(logps, ref_logps, rewards, mask, beta=0.1)

Positional arguments are arrays, named from one vocabulary (`shapes`); keyword-only arguments are
the hyperparameters. Adding a loss = one function + one line here; the tests then find it by
themselves.
"""

from algorithms.dpo import dpo
from algorithms.grpo import grpo
from algorithms.implied_rewards import implied_rewards
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.supervised import sft

LOSSES = {loss.__name__: loss for loss in (sft, dpo, grpo, off_policy_grpo, offline_grpo)}

__all__ = ["LOSSES", "implied_rewards", *LOSSES]
