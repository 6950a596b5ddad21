"""Preferences with Gaussian noise: the probit link, where DPO's is the logistic.

Someone prefers w to l with probability Phi(z) if the noise in each reward is Gaussian, and
sigmoid(z) if it is Gumbel. -log Phi(z) grows as z^2 / 2 for z << 0, -log sigmoid(z) only as -z: a
pair that the policy has far wrong pulls harder, and so does a mislabelled one.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from algorithms.loss_function import loss_function
from algorithms.preferences import (
  PairRule,
  is_present,
  log_ratios,
  means_of_pairs,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
)
from algorithms.shapes import Beta, Mask, PerResponse, PerToken

Numbers = Float[Array, "..."]


@loss_function
def probit_dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
):
  """DPO with the probit link: Thurstone's model of a choice (1927, case V), not Bradley-Terry's.

    h_i  = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it))
    loss = mean over pairs of  -log Phi(beta (h_w - h_l))             Phi: the normal distribution

  At the reference it pulls 1.6 times as hard as `dpo` with the same beta: 2 / sqrt(2 pi) for 1/2.

  Args:
    rewards: their order makes the pairs (see `preferences.pair_weights`), their size does nothing.
    beta: strength of the KL to the reference, in units of the noise: larger stays closer.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  h, weights = log_ratios(logps, ref_logps, mask), pair_weights(rewards, mask, pairs)
  loss = pair_mean(-log_phi(beta * pair_differences(h)), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def thurstone(
  scores: PerResponse, rewards: PerResponse, mask: Mask, *, pairs: PairRule = "best_worst"
):
  """The probit loss of a reward model (Thurstone, 1927, case V; Bradley-Terry's is the logistic).

    loss = mean over pairs of  -log Phi(s_w - s_l)

  Args:
    scores: s, of the model that is trained; the only argument with a gradient.
    rewards: the labels: their order makes the pairs.
    mask: tells which responses are present (any token), nothing more.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
  """
  s = jnp.where(is_present(rewards, mask), scores, 0.0)
  weights, margins = pair_weights(rewards, mask, pairs), pair_differences(s)
  chosen, rejected = means_of_pairs(s, weights)
  return pair_mean(-log_phi(margins), weights), {
    "accuracy": pair_mean((margins > 0).astype(s.dtype), weights),
    "margin": pair_mean(margins, weights),
    "scores/chosen": chosen,
    "scores/rejected": rejected,
  }


# --- log Phi, with derivatives that hold in both tails --------------------------------------------
# jax's own derivative of log_ndtr is exp(-z^2/2 - log Phi(z)): at z = -1000 the difference of two
# numbers of half a million, in which float32 has no digits left.


@jax.custom_jvp
def log_phi(z: Numbers) -> Numbers:
  """log Phi(z), Phi the distribution function of the standard normal."""
  return log_ndtr(z)


@log_phi.defjvp
def _log_phi_jvp(primals, tangents):
  return log_phi(*primals), _hazard(*primals) * tangents[0]


@jax.custom_jvp
def _hazard(z: Numbers) -> Numbers:
  """phi(z) / Phi(z), the slope of log Phi: -z for z << 0, 0 for z >> 0."""
  return jnp.where(z < -_TAIL, _excess(z) - z, _hazard_of_center(z))


@_hazard.defjvp
def _hazard_jvp(primals, tangents):
  (z,) = primals
  return _hazard(z), -_hazard(z) * _excess(z) * tangents[0]  # log Phi'' tends to -1 and to 0


_TAIL = 2.0


def _excess(z: Numbers) -> Numbers:
  """z + phi(z) / Phi(z); in the left tail Laplace's continued fraction, 1 / (t + 2 / (t + ...))."""
  t = jnp.maximum(-z, _TAIL)
  fraction = t
  for n in range(32, 1, -1):
    fraction = t + n / fraction
  return jnp.where(z < -_TAIL, 1 / fraction, z + _hazard_of_center(z))


def _hazard_of_center(z: Numbers) -> Numbers:
  z = jnp.maximum(z, -_TAIL)
  return jnp.exp(-(z**2) / 2 - log_ndtr(z)) / jnp.sqrt(2 * jnp.pi)
