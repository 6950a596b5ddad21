"""Proximal Policy Optimization: an advantage a token, from a critic that is trained along."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.advantages import generalized_advantages, is_scored, whiten
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import clipped_surrogate, kl_penalty, ratio_metrics, token_ratio
from algorithms.reductions import share_of_tokens, token_mean
from algorithms.shapes import (
  Fraction,
  LowerClip,
  Mask,
  PerResponse,
  PerToken,
  Positive,
  UpperClip,
  Weight,
)


@loss_function
def ppo(
  logps: PerToken,
  old_logps: PerToken,
  values: PerToken,
  old_values: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.05,
  clip_low: LowerClip = 0.2,
  clip_high: UpperClip = 0.2,
  clip_value: Positive = 0.2,
  value_weight: Weight = 0.1,
  gamma: Fraction = 1.0,
  gae_lambda: Fraction = 0.95,
):
  """PPO on responses (Schulman et al., 2017, eq. 7 and 9; RLHF: Ouyang et al., 2022).

    r_it = -beta (log pi_old(y_it) - log pi_ref(y_it)), plus the reward r_i at the last token
    A_it = GAE(gamma, lambda) of r_it and V_old;   R_it = A_it + V_old_it;   then A is whitened
    policy_loss = -1/(sum_i n_i) sum_it min(rho_it A_it, clip(rho_it, 1-eps_low, 1+eps_high) A_it)
    value_loss  = 1/(sum_i n_i) sum_it 1/2 max((V_it - R_it)^2,
                                               (clip(V_it, V_old_it +- clip_value) - R_it)^2)
    loss        = policy_loss + value_weight value_loss

  Needs no group: K = 1 works. An unscored response (NaN) counts in neither part.

  Args:
    values, old_values: V(prompt, y_<t), in units of the reward: now, and when the responses were
      collected. Only `values` gets a gradient.
    ref_logps: needed only when beta is not 0; without it there is no KL term.
    beta: strength of the KL (k1, a constant to the gradient) in the reward; 0 turns it off.
    clip_low, clip_high: the push stops once rho leaves [1 - clip_low, 1 + clip_high].
    clip_value: how far V may usefully move from V_old in one batch, in units of the reward.
    value_weight: of the value loss, next to the policy's.
    gamma: discount of a token's reward per token of delay; 1 is the usual in RLHF.
    gae_lambda: 1 trusts the reward that came, 0 trusts the critic's next value.
  """
  mask = mask & is_scored(rewards)[..., None]
  penalty, kl_metrics = kl_penalty(beta, "k1", old_logps, ref_logps, mask)
  token_rewards = jnp.where(_is_last(mask), rewards[..., None], 0.0) - penalty
  raw_advantages = generalized_advantages(token_rewards, old_values, mask, gamma, gae_lambda)
  returns = raw_advantages + old_values
  advantages = whiten(raw_advantages, mask)

  ratio = token_ratio(logps, old_logps, mask)
  surrogate = clipped_surrogate(ratio, advantages, clip_low, clip_high)
  policy_loss = -token_mean(surrogate, mask)

  # The gradient at a padded value of inf would be 0 * inf if it were squared before it is masked.
  values, old_values, returns = (jnp.where(mask, x, 0.0) for x in (values, old_values, returns))
  clipped_values = jnp.clip(values, old_values - clip_value, old_values + clip_value)
  squares = jnp.maximum((values - returns) ** 2, (clipped_values - returns) ** 2)
  value_loss = token_mean(squares / 2, mask)

  metrics = ratio_metrics(ratio, advantages, mask, clip_low, clip_high) | kl_metrics
  metrics |= {
    "policy_loss": policy_loss,
    "value_loss": value_loss,
    "value/explained_variance": _explained_variance(values, returns, mask),
    "value/clip_ratio": share_of_tokens(clipped_values != values, mask),
  }
  return policy_loss + value_weight * value_loss, metrics


def _is_last(mask: Mask) -> Mask:
  """Where a response's last token is. Responses are right-padded, so the mask is a prefix."""
  followed = jnp.pad(mask[..., 1:], ((0, 0), (0, 0), (0, 1)))
  return mask & ~followed


def _explained_variance(values: PerToken, returns: PerToken, mask: Mask) -> Float[Array, ""]:
  """1 - var(R - V) / var(R): 1 is a perfect critic, 0 one no better than the mean return."""

  def variance(x):
    return token_mean((x - token_mean(x, mask)) ** 2, mask)

  total = variance(returns)
  return jnp.where(
    total > 0, 1 - variance(returns - values) / jnp.where(total > 0, total, 1.0), 0.0
  )
