"""Good responses of a group against its bad ones: as classes (REAL), or as GRPO and DPO at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from algorithms.advantages import centered
from algorithms.dpo import dpo
from algorithms.grpo import grpo
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import mean_ratio, token_ratio
from algorithms.preferences import is_present
from algorithms.reductions import lengths, sequence_sum
from algorithms.shapes import (
  Beta,
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  UpperClip,
  Weight,
)


@loss_function
def real(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  tau: Positive = 0.5,
):
  """Rewards as Labels (REAL: Zhai et al., 2026, arXiv:2602.05630).

    s_i  = 1/n_i sum_t m_it (log pi_theta(y_it) - log pi_old(y_it))
    loss = mean over groups of  log(1 + sum_{i right} e^(-s_i / tau))
                              + log(1 + sum_{j wrong} e^(s_j / tau))

  The cross-entropy of a classifier, with an anchor at 0 beside the responses of each class. No
  response pulls harder than 1 / tau, whatever its ratio, and the hardest pull most. The paper's
  rewards are 0 and 1; here those above their group's mean are right. A group of equal rewards
  counts 0, as in ms-swift: on wrong responses alone the loss would only unlearn.

  Args:
    tau: temperature of the classes: smaller looks at the hardest responses only.
  """
  scores = sequence_sum(logps - old_logps, mask) / lengths(mask) / tau
  advantages, present = centered(rewards), is_present(rewards, mask)
  right, wrong = present & (advantages > 0), present & (advantages <= 0)
  losses = _log_one_plus_sum(-scores, right) + _log_one_plus_sum(scores, wrong)
  untied = (advantages != 0).any(axis=1)
  loss = jnp.where(untied, losses, 0.0).mean()
  return loss, mean_ratio(token_ratio(logps, old_logps, mask), mask)


@loss_function
def amir_grpo(
  logps: PerToken,
  old_logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  pair_weight: Weight = 0.01,
  pair_beta: Beta = 0.2,
  ddof: Ddof = 0,
):
  """GRPO plus DPO on the pairs of its groups (AMIR-GRPO: Yari and Koto, 2026, arXiv:2601.03661).

    loss = grpo + pair_weight dpo,      dpo over every two responses of unequal reward in a group

  The pairs use what the advantages forget, who beat whom, and no length divides a response. The
  numbers are those of the authors' code, whose runs put 1 for pi_ref.

  Args:
    clip_low, clip_high: of `grpo`.
    pair_weight: of the DPO term; 0 turns it off.
    pair_beta: of `dpo`: strength of the KL to the reference in that term.
    ddof: of the standard deviation in A, as in `grpo`.
  """
  clips = {"clip_low": clip_low, "clip_high": clip_high}
  policy_loss, metrics = grpo(logps, old_logps, rewards, mask, ddof=ddof, **clips)
  pair_loss, of_pairs = dpo(logps, ref_logps, rewards, mask, beta=pair_beta, pairs="all")
  metrics |= of_pairs | {"policy_loss": policy_loss, "pair_loss": pair_loss}
  return policy_loss + pair_weight * pair_loss, metrics


def _log_one_plus_sum(x: PerResponse, among: Bool[Array, "B K"]) -> Float[Array, "B"]:
  """log(1 + sum e^x) over the responses `among` a group's."""
  anchored = jnp.pad(jnp.where(among, x, -jnp.inf), ((0, 0), (1, 0)))
  return jax.nn.logsumexp(anchored, axis=1)
