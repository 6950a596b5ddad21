"""The losses that the small world trains with, by name, their hyperparameters bound.

The losses of a table are branches of one compiled program, which claims that train on groups of the
same size then share too. They are those of `algorithms/`, and a few that only a claim needs:
weights that do not sum to zero, responses on one side of the baseline, a ratio without a clip.

  LOSSES              preferences, GRPO and weights between them
  POLICY_GRADIENTS    on fresh samples: baselines, and the best of k
  CLIP_AND_RATIO      on old samples: GRPO's clip and its ratio, each there or not
"""

from functools import partial

import jax

from algorithms.advantages import centered, group_relative
from algorithms.dpo import dpo
from algorithms.grpo import grpo, unclipped_grpo
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.off_policy_reinforce import rec_one_side
from algorithms.other_baselines import opo
from algorithms.other_objectives import pass_at_k
from algorithms.policy_gradient import clipped_surrogate, per_token, token_ratio
from algorithms.reductions import sequence_mean, sequence_sum, token_mean


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


def group_mean(logps, rewards, mask):
  """`opo` with the group's mean as baseline, whatever the lengths."""
  return -(centered(rewards) * sequence_sum(logps, mask)).mean(), {}


def no_baseline(logps, rewards, mask):
  """The same without a baseline."""
  return -(rewards * sequence_sum(logps, mask)).mean(), {}


def clip_and_ratio(logps, old_logps, rewards, mask):
  """GRPO's surrogate on the advantages of `rec_one_side`: with its clip, and weighed by rho."""
  ratio, advantages = _on_old(logps, old_logps, rewards, mask)
  return -token_mean(clipped_surrogate(ratio, advantages, 0.2, 0.2), mask), {}


def ratio_alone(logps, old_logps, rewards, mask):
  """The same without the clip: every token is weighed by rho."""
  ratio, advantages = _on_old(logps, old_logps, rewards, mask)
  return -token_mean(advantages * ratio, mask), {}


def neither(logps, rewards, mask):
  """`rec_one_side` without its mask: REINFORCE on whatever samples there are."""
  return -token_mean(per_token(centered(rewards)) * logps, mask), {}


def _on_old(logps, old_logps, rewards, mask):
  return token_ratio(logps, old_logps, mask), per_token(centered(rewards))


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

POLICY_GRADIENTS = {
  "group mean": group_mean,
  "length-weighted (opo)": opo,
  "no baseline": no_baseline,
  "pass@2": partial(pass_at_k, k=2),
  "pass@4": partial(pass_at_k, k=4),
}
CLIP_AND_RATIO = {
  "clip and ratio": clip_and_ratio,
  "clip alone": rec_one_side,
  "ratio alone": ratio_alone,
  "neither": neither,
}
