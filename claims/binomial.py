"""Groups of rewards 0 or 1, averaged exactly over the binomial number of solved responses."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.implied_rewards import implied_rewards


def pushes(loss: Callable, k: int) -> np.ndarray:
  """Returns the loss's implied reward of each response, [k + 1, k]: row n has the first n solved.

  Responses have one token, and the policy is the one that sampled.
  """
  one_token = jnp.zeros((1, k, 1))

  def implied(group: jax.Array) -> jax.Array:
    arguments = {"logps": one_token, "old_logps": one_token, "mask": one_token == 0}
    return implied_rewards(loss)(rewards=group[None], **arguments)[0]

  return np.asarray(jax.jit(jax.vmap(implied))(solved_first(k).astype(np.float32)), np.float64)


def solved_first(k: int) -> np.ndarray:
  """Returns bool [k + 1, k]: row n has the first n responses solved."""
  return np.arange(k) < np.arange(k + 1)[:, None]


def chances(k: int, p: np.ndarray) -> np.ndarray:
  """Returns the probability of n = 0 .. k solved responses, [len(p), k + 1], at solve rates p."""
  n = np.arange(k + 1)
  ways = np.array([math.comb(k, i) for i in n], np.float64)
  return ways * p[:, None] ** n * (1 - p[:, None]) ** (k - n)


def prompt_weights(loss: Callable, k: int, p: np.ndarray) -> np.ndarray:
  """Returns w(p) at solve rates p: the loss's expected gradient on groups of k is w(p) grad p."""
  return weights_of(pushes(loss, k), p)


def weights_of(pushed: np.ndarray, p: np.ndarray) -> np.ndarray:
  """Returns w(p) = E[sum_i R_i (r_i - p)] / (p (1 - p)), where R are the `pushes` of a loss."""
  k = pushed.shape[1]
  rewards = solved_first(k) - p[:, None, None]
  per_group = (pushed * rewards).sum(axis=-1) / (p * (1 - p))[:, None]
  return (chances(k, p) * per_group).sum(axis=-1)
