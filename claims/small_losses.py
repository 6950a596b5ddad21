"""The losses that the small world trains with, by name, their hyperparameters bound.

All claims share one table because its losses are branches of one compiled program, which claims
that train on groups of the same size then share too. The losses are those of `algorithms/`, and a
few that only a claim needs: weights that do not sum to zero, responses on one side of the baseline.
"""

from functools import partial

import jax

from algorithms.advantages import group_relative
from algorithms.dpo import dpo
from algorithms.grpo import grpo, unclipped_grpo
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.policy_gradient import clipped_surrogate, token_ratio
from algorithms.reductions import sequence_mean, sequence_sum


def positives_only(logps, old_logps, rewards, mask):
  """`grpo` with max(A, 0) in place of A: responses below the baseline are left out."""
  return _grpo_on(jax.nn.relu(group_relative(rewards)), logps, old_logps, mask)


def negatives_only(logps, old_logps, rewards, mask):
  """`grpo` with min(A, 0) in place of A: responses above the baseline are left out."""
  return _grpo_on(-jax.nn.relu(-group_relative(rewards)), logps, old_logps, mask)


def _grpo_on(advantages, logps, old_logps, mask):
  ratio = token_ratio(logps, jax.lax.stop_gradient(old_logps), mask)
  return -sequence_mean(clipped_surrogate(ratio, advantages, 0.2, 0.2), mask), {}


def raw_rewards(logps, rewards, mask):
  """Offline policy gradient, weighted by the reward itself (1 or 0): the sum is not zero."""
  return -(rewards * sequence_sum(logps, mask)).sum() / rewards.shape[0], {}


def shifted_rewards(logps, rewards, mask):
  """The same weighted by r - 1 (0 or -1): wrong responses are pushed down, none is pulled up."""
  return -((rewards - 1) * sequence_sum(logps, mask)).sum() / rewards.shape[0], {}


LOSSES = {
  "dpo": partial(dpo, beta=0.1),
  "dpo beta=1": partial(dpo, beta=1.0),
  "dpo as weights": partial(offline_grpo, weights="dpo", beta=0.1),
  "dpo beta=1 as weights": partial(offline_grpo, weights="dpo", beta=1.0),
  "centered": partial(offline_grpo, weights="centered"),
  "standardized": partial(offline_grpo, weights="standardized"),
  "raw rewards": raw_rewards,
  "shifted rewards": shifted_rewards,
  "grpo": grpo,
  "unclipped_grpo": unclipped_grpo,
  "positives only": positives_only,
  "negatives only": negatives_only,
  "off_policy_grpo": partial(off_policy_grpo, beta=0.04),
}
