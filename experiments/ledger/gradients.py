"""Where DPO and GRPO with two responses are one: their gradients in a transformer's parameters."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.advantages import group_relative
from algorithms.dpo import dpo
from algorithms.grpo import unclipped_grpo
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.policy_gradient import sequence_mean, sequence_ratio
from experiments.ledger.claim import (
  DOES_NOT_HOLD,
  HOLDS,
  Curve,
  Finding,
  Part,
  Plot,
)
from experiments.ledger.small_results import (
  curve,
  figure,
  frontier,
  judged,
  measure,
  over_seeds,
)
from experiments.ledger.small_training import Setup, Variant, loss_gradient, train
from experiments.ledger.small_world import MAX_TOKENS, MODEL, base_policy, write
from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import Params

PAIRS = 64
PARALLEL = 1e-5  # 1 - cosine that float32 arithmetic leaves


def sequence_grpo(logps, old_logps, rewards, mask):
  """-mean_i rho_i A_i with the ratio of whole responses: 2-GRPO as the claim means it, no clip."""
  rho = sequence_ratio(logps, jax.lax.stop_gradient(old_logps), mask)
  return -sequence_mean(rho * group_relative(rewards)[..., None], mask), {}


# With what DPO's gradient is compared; the first is the claim's.
LOSSES = {
  "sequence ratio": sequence_grpo,
  "token ratio": unclipped_grpo,
  "sequence ratio, clipped": partial(off_policy_grpo, ratio="sequence", beta=0.0),
  "sequence ratio, clipped, KL": partial(off_policy_grpo, ratio="sequence", beta=0.04),
  "no ratio": partial(offline_grpo, weights="standardized"),
  "dpo as weights": partial(offline_grpo, weights="dpo", beta=0.1),
}
COMPARED = Setup(group_size=2, losses=(("dpo", partial(dpo, beta=0.1)), *LOSSES.items()))
LENGTHS = ("equal lengths", "4 to 6 tokens", "cut to 1 to 6 tokens")
TRAINED = Setup(group_size=2)


@jax.jit
def compare(snapshots: Params, pairs: Groups, base: Params):
  """Of each of LOSSES at each snapshot: the cosine with DPO's gradient, and |g - dpo| / |dpo|."""
  arrays = {
    "rewards": pairs.rewards,
    "mask": pairs.mask,
    "old_logps": pairs.old_logps,
    "ref_logps": pairs.old_logps,
  }

  def gradient(params, which):
    tree, _ = loss_gradient(COMPARED, which, {"params": params}, pairs, arrays)
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])

  def at(params):
    first, *others = [gradient(params, 0)], 
