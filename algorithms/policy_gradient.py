"""The parts of policy-gradient losses: importance ratios, clipped surrogates, the KL term."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.divergences import ESTIMATES, KL, LARGEST_LOG_RATIO, weighted_k3
from algorithms.reductions import lengths, sequence_sum, share_of_tokens, token_mean
from algorithms.shapes import Mask, Metrics, PerResponse, PerToken, Scalar

# Advantages are one number a response, or (PPO) one a token.
Advantages = PerResponse | PerToken

# --- ratios and surrogates ----------------------------------------------------------------------


def token_ratio(logps: PerToken, old_logps: PerToken, mask: Mask) -> PerToken:
  """rho_it = pi_theta(y_it) / pi_old(y_it), and 1 at padding. Cut at e^+-20, to stay finite."""
  log_ratio = jnp.where(mask, logps - old_logps, 0.0)
  return jnp.exp(jnp.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))


def sequence_ratio(logps: PerToken, old_logps: PerToken, mask: Mask) -> PerToken:
  """rho_i = pi_theta(y_i) / pi_old(y_i) of the whole response, repeated at each of its tokens."""
  log_ratio = sequence_sum(logps - old_logps, mask)[..., None]
  ratio = jnp.exp(jnp.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))
  return jnp.where(mask, ratio, 1.0)


def geometric_mean_ratio(log_ratio: PerToken, mask: Mask) -> PerToken:
  """exp(1/n_i sum_t m_it log rho_it): one ratio a response, repeated at each of its tokens."""
  mean = (sequence_sum(log_ratio, mask) / lengths(mask))[..., None]
  ratio = jnp.exp(jnp.clip(mean, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))
  return jnp.where(mask, ratio, 1.0)


def per_token(advantages: Advantages) -> Float[Array, "B K T1"]:
  """[B, K, 1] from [B, K], to stand beside per-token numbers; [B, K, T] stays."""
  return advantages if advantages.ndim == 3 else advantages[..., None]


def clipped_surrogate(
  ratio: PerToken, advantages: Advantages, clip_low: Scalar, clip_high: Scalar
) -> PerToken:
  """min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) (PPO: Schulman et al., 2017, eq. 7).

  A multiplies both arms. It stops the push once the policy has moved far enough in the direction
  that A asks for, and only then: a ratio beyond the clip on the wrong side is still pulled back.
  """
  a = per_token(advantages)
  return jnp.minimum(ratio * a, jnp.clip(ratio, 1 - clip_low, 1 + clip_high) * a)


def mean_ratio(ratio: PerToken, mask: Mask) -> Metrics:
  """The mean ratio of a token: 1 while the policy is the one that wrote the data."""
  return {"ratio/mean": token_mean(ratio, mask)}


def ratio_metrics(
  ratio: PerToken,
  advantages: Advantages,
  mask: Mask,
  clip_low: Scalar,
  clip_high: Scalar,
) -> Metrics:
  """`mean_ratio`, and the share of the tokens that count whose push the clip has stopped."""
  a = per_token(advantages)
  low = share_of_tokens((ratio < 1 - clip_low) & (a < 0), mask)
  high = share_of_tokens((ratio > 1 + clip_high) & (a > 0), mask)
  return {
    "clip_ratio/low_mean": low,
    "clip_ratio/high_mean": high,
    "clip_ratio/region_mean": low + high,
    **mean_ratio(ratio, mask),
  }


# --- the KL to the reference --------------------------------------------------------------------


def kl_penalty(
  beta: Scalar,
  kl: KL,
  logps: PerToken,
  ref_logps: PerToken | None,
  mask: Mask,
  old_logps: PerToken | None = None,
) -> tuple[PerToken, Metrics]:
  """beta KL_it, for an objective or a reward to subtract, and its metric. 0 without a reference.

  ValueError for kl="weighted_k3" without `old_logps`, under the policy that drew the tokens.
  """
  if ref_logps is None:
    return jnp.zeros_like(logps), {}
  # Masked before it is squared: the gradient at a padded -inf would be 0 * inf.
  logps, ref_logps = jnp.where(mask, logps, 0.0), jnp.where(mask, ref_logps, 0.0)
  if kl != "weighted_k3":
    nats = ESTIMATES[kl](logps, ref_logps)
  elif old_logps is None:
    raise ValueError('kl="weighted_k3" needs old_logps: it is weighted by pi_theta / pi_old')
  else:
    nats = weighted_k3(logps, ref_logps, jnp.where(mask, old_logps, 0.0))
  return beta * nats, {"kl": token_mean(nats, mask)}
