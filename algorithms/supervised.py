"""Imitation: maximum likelihood of the best response of each group."""

import jax
import jax.numpy as jnp

from algorithms.policy_gradient import token_mean
from algorithms.shapes import Mask, PerResponse, PerToken, check_shapes


def sft(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Supervised fine-tuning: -sum m log pi_theta / sum m over the best response of each group.

  Responses that share the best score are all imitated. With K = 1 it is plain SFT, in nats a token.
  """
  check_shapes(logps=logps, rewards=rewards, mask=mask)
  rewards = jax.lax.stop_gradient(rewards)
  present = mask.any(axis=-1)
  best = jnp.where(present, rewards, -jnp.inf).max(axis=1, keepdims=True)
  chosen = mask & (rewards == best)[..., None]
  return -token_mean(logps, chosen), {}
