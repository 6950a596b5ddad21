"""Credit to single tokens by what the policy has made of what follows them (FIPO)."""

import jax
import jax.numpy as jnp

from algorithms.advantages import group_relative
from algorithms.divergences import LARGEST_LOG_RATIO
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import clipped_surrogate, per_token, ratio_metrics, token_ratio
from algorithms.reductions import token_mean
from algorithms.shapes import (
  Ddof,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  RatioCap,
  Scalar,
  UpperClip,
  Weight,
)


@loss_function
def fipo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.28,
  half_life: Positive = 32.0,
  influence_low: Weight = 0.2,
  influence_high: Weight = 0.2,
  ratio_cap: RatioCap = 10.0,
  ddof: Ddof = 0,
):
  """Future-KL Influenced Policy Optimization (FIPO: Ma et al., 2026, arXiv:2603.19835).

    F_it = sum_{k >= t} gamma^(k - t) 1{rho_ik <= cap} log rho_ik,       gamma = 2^(-1/half_life)
    f_it = clip(e^F_it, 1 - influence_low, 1 + influence_high), at most 1 where A_i < 0 and
           rho_it > cap
    a_it = f_it A_i                                                      f a constant
    loss = -1/(sum_i n_i) sum_it min(rho_it a_it, clip(rho_it, 1-eps_low, 1+eps_high) a_it),
           and no less than cap a_it where A_i < 0

  DAPO's, with more push on a token before others that the policy has come to like, and less before
  those that it avoids by now. A response with two tokens of A < 0 at the cap is left out. On the
  first step after sampling f = 1. Equations as in the authors' code.

  Args:
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    half_life: in tokens, of the influence of what follows.
    influence_low, influence_high: how far from 1 it goes; the authors' 32B run has 0 and 0.2.
    ratio_cap: tokens beyond it have no influence and, where A < 0, no push.
    ddof: of the standard deviation in A, as in `grpo`.
  """
  advantages = group_relative(rewards, ddof=ddof)
  ratio, bad = token_ratio(logps, old_logps, mask), per_token(advantages) < 0
  shift = jnp.where(mask & (ratio <= ratio_cap), logps - old_logps, 0.0)
  future = jnp.clip(_discounted_rest(shift, half_life), -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
  influence = jnp.clip(jnp.exp(future), 1 - influence_low, 1 + influence_high)
  influence = jnp.where(bad & (ratio > ratio_cap), jnp.minimum(influence, 1.0), influence)
  a = jax.lax.stop_gradient(influence) * per_token(advantages)

  surrogate = clipped_surrogate(ratio, a, clip_low, clip_high)
  capped = mask & bad & (surrogate < ratio_cap * a)
  objective = jnp.where(capped, ratio_cap * a, surrogate)
  kept = mask & (capped.sum(axis=-1, keepdims=True) < 2)
  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high)
  return -token_mean(objective, kept), metrics | {"fipo/influence": token_mean(influence, mask)}


def _discounted_rest(x: PerToken, half_life: Scalar) -> PerToken:
  """sum_{k >= t} 2^(-(k - t) / half_life) x_k, at each t."""
  gamma = jnp.exp2(-1 / half_life)

  def backwards(later, now):
    rest = now + gamma * later
    return rest, rest

  time_first = jnp.moveaxis(x, -1, 0)
  _, rests = jax.lax.scan(backwards, jnp.zeros_like(time_first[0]), time_first, reverse=True)
  return jnp.moveaxis(rests, 0, -1)
