"""GRPO's relatives that stop a push by how far the policy has moved, not by the ratio of a token.

PPO's clip reads one ratio: a rare token that becomes a hundred times likelier is stopped though the
policy has hardly changed, a common one that loses a fifth of its probability is not. `dppo_tv` and
`dppo_kl` measure the change of the distribution; `m2po` that of the whole batch. Like PPO's clip
they stop only a push that leads further away.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.advantages import centered, group_relative
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import mean_ratio, per_token, token_ratio
from algorithms.reductions import constant_mean, share_of_tokens, token_mean
from algorithms.shapes import Ddof, Distance, Mask, PerResponse, PerToken, Positive, Scalar

Advantages = Float[Array, "B K 1"]


@loss_function
def dppo_tv(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  delta: Distance = 0.15,
  max_tokens: Positive = 256.0,
):
  """Divergence PPO with the binary total variation (DPPO: Qi et al., 2026, arXiv:2602.04879).

    D_it = |pi_theta(y_it) - pi_old(y_it)|          the token against all others taken together
    M_it = 0 where D_it > delta and the push would raise it, else 1
    loss = -1/(B K max_tokens) sum_it M_it rho_it A_i,             A_i = r_i - mean_j r_j

  As in the authors' runs, advantages and the sum over tokens are Dr. GRPO's.

  Args:
    old_logps: of the policy that wrote the responses; the paper advises the sampler's own.
    delta: the change of a token's probability at which the push stops (prime-rl's is 0.2).
    max_tokens: a constant to divide by, usually the longest response that sampling allows.
  """
  a, ratio = per_token(centered(rewards)), token_ratio(logps, old_logps, mask)
  change = jnp.abs(jnp.exp(logps) - jnp.exp(old_logps))
  kept = ~(_further(a, logps, old_logps) & (change > delta))
  objective = jnp.where(kept, ratio * a, 0.0)
  metrics = {"clip_ratio/region_mean": share_of_tokens(~kept, mask)} | mean_ratio(ratio, mask)
  return -constant_mean(objective, mask, max_tokens), metrics


@loss_function
def dppo_kl(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  delta: Distance = 0.05,
  max_tokens: Positive = 256.0,
):
  """Divergence PPO with the binary KL (DPPO: Qi et al., 2026, arXiv:2602.04879).

    D_it = p log(p / q) + (1 - p) log((1 - p) / (1 - q)),    p = pi_old(y_it), q = pi_theta(y_it)
    M_it = 0 where D_it > delta and the push would raise it, else 1
    loss = -1/(B K max_tokens) sum_it M_it rho_it A_i,             A_i = r_i - mean_j r_j

  Args:
    old_logps: of the policy that wrote the responses; the paper advises the sampler's own.
    delta: the KL of a token's choice, in nats, at which the push stops.
    max_tokens: a constant to divide by, usually the longest response that sampling allows.
  """
  a, ratio = per_token(centered(rewards)), token_ratio(logps, old_logps, mask)
  kept = ~(_further(a, logps, old_logps) & (_binary_kl(old_logps, logps) > delta))
  objective = jnp.where(kept, ratio * a, 0.0)
  metrics = {"clip_ratio/region_mean": share_of_tokens(~kept, mask)} | mean_ratio(ratio, mask)
  return -constant_mean(objective, mask, max_tokens), metrics


@loss_function
def m2po(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  second_moment: Distance = 0.04,
  ddof: Ddof = 0,
):
  """Second-Moment Trust Policy Optimization (M2PO: arXiv:2510.01161, 2025, algorithm 1, eq. 5).

    T    = the tokens that PPO might clip: A_i > 0 and rho_it > 1, or A_i < 0 and rho_it < 1
    M_it = 0 for those of T with the largest (log rho_it)^2, as few as bring the mean of
           (log rho_it)^2 over what is left of T down to second_moment; else 1
    loss = -1/(sum_i n_i) sum_it M_it rho_it A_i

  T is the whole batch's. Equal tokens go together, so that their order never matters. (The authors'
  released code turns the same bound into two clips of rho, with a least width.)

  Args:
    second_moment: of the log-ratio, in squared nats: how far the batch may have moved.
    ddof: of the standard deviation in A, as in `grpo`.
  """
  a, ratio = per_token(group_relative(rewards, ddof=ddof)), token_ratio(logps, old_logps, mask)
  log_ratio = jax.lax.stop_gradient(jnp.where(mask, logps - old_logps, 0.0))
  kept = ~_beyond_second_moment(log_ratio**2, _further(a, log_ratio, 0.0) & mask, second_moment)
  objective = jnp.where(kept, ratio * a, 0.0)
  metrics = {
    "clip_ratio/region_mean": share_of_tokens(~kept, mask),
    "m2po/second_moment": token_mean(log_ratio**2, mask),
  }
  return -token_mean(objective, mask), metrics | mean_ratio(ratio, mask)


def _further(a: Advantages, logps: PerToken, old_logps: PerToken | Scalar) -> Mask:
  """Where A pushes a token further from where it was: up if it has risen, down if it has fallen."""
  return ((a > 0) & (logps > old_logps)) | ((a < 0) & (logps < old_logps))


def _binary_kl(p_logps: PerToken, q_logps: PerToken) -> PerToken:
  """KL(Bernoulli(p) || Bernoulli(q)) from log p and log q, finite where either is certain."""
  rest_of_p, rest_of_q = (jnp.maximum(-jnp.expm1(x), 1e-8) for x in (p_logps, q_logps))
  return jnp.exp(p_logps) * (p_logps - q_logps) + rest_of_p * jnp.log(rest_of_p / rest_of_q)


def _beyond_second_moment(squares: PerToken, among: Mask, limit: Scalar) -> Mask:
  """The largest squares `among` the tokens, as few as bring the mean of the rest to the limit."""
  ascending = jnp.append(jnp.sort(jnp.where(among, squares, jnp.inf).ravel()), jnp.inf)
  means = jnp.cumsum(ascending) / jnp.arange(1, ascending.size + 1)
  first_out = ascending[(means <= limit).sum()]
  return among & (squares >= first_out)
