"""Imitation: maximum likelihood of the best response of each group."""

import jax.numpy as jnp

from algorithms.advantages import is_scored
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import token_mean
from algorithms.shapes import Mask, PerResponse, PerToken


@loss_function
def sft(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Supervised fine-tuning: -sum m log pi_theta / sum m over the best response of each group.

  Responses that share the best score are all imitated. With K = 1 it is plain SFT, in nats a token.
  """
  present = mask.any(axis=-1) & is_scored(rewards)
  best = jnp.where(present, rewards, -jnp.inf).max(axis=1, keepdims=True)
  chosen = mask & (rewards == best)[..., None]
  return -token_mean(logps, chosen), {}
