"""Parts that any policy-gradient loss may add: what to encourage, to leave out, or to reweigh.

`grpo_extras` puts each of them into `grpo`; a loss of one's own composes them as freely.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from algorithms.policy_gradient import sequence_ratio, token_ratio
from algorithms.reductions import lengths, sequence_sum, token_mean
from algorithms.shapes import Mask, PerResponse, PerToken, Scalar

Level = Literal["token", "sequence"]


def entropy_bonus(entropy: PerToken, mask: Mask, bonus: Scalar) -> Float[Array, ""]:
  """bonus * mean entropy of a token, in nats: for a loss to subtract. The gradient flows into it.

  A mean over tokens whatever the loss's own reduction, so that `bonus` means the same everywhere.
  """
  return bonus * token_mean(entropy, mask)


def top_entropy_mask(entropy: PerToken, mask: Mask, share: Scalar) -> Mask:
  """The `share` of the batch's tokens with the highest entropy (Wang et al., 2025, "80/20 rule").

  Those at or above the (1 - share)-quantile, linearly interpolated; share = 1 keeps every token.
  """
  counted = jnp.where(mask, entropy, jnp.nan)
  return mask & (entropy >= jnp.nanquantile(counted, 1 - share))


def off_policy_sequence_mask(
  logps: PerToken, old_logps: PerToken, advantages: PerResponse, mask: Mask, threshold: Scalar
) -> Bool[Array, "B K"]:
  """False for responses that are worse than their group and stale (DeepSeek-V3.2, 2025, eq. 9).

    drop where A_i < 0 and 1/n_i sum_t log(pi_old(y_it) / pi_theta(y_it)) > threshold

  What the policy already avoids need not be pushed further away on stale evidence.
  """
  staleness = sequence_sum(old_logps - logps, mask) / lengths(mask)
  return (advantages >= 0) | (staleness <= threshold)


def truncated_importance_weights(
  old_logps: PerToken, sampler_logps: PerToken, mask: Mask, level: Level, ratio_cap: Scalar
) -> PerToken:
  """min(pi_old(y) / pi_sampler(y), cap): trainer's policy over sampler's (Yao et al., 2025).

  The two share their parameters but not their arithmetic, so that "on-policy" samples are a little
  off. "token": a ratio a token; "sequence": the product over the response, at each of its tokens.
  """
  ratio = token_ratio if level == "token" else sequence_ratio
  return jnp.minimum(ratio(old_logps, sampler_logps, mask), ratio_cap)
