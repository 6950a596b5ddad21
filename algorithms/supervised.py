"""Imitation: maximum likelihood of the best response of each group."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from algorithms.loss_function import loss_function
from algorithms.preferences import is_present
from algorithms.reductions import token_mean
from algorithms.shapes import Mask, PerResponse, PerToken


@loss_function
def sft(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Supervised fine-tuning: -sum m log pi_theta / sum m over the best response of each group.

  Responses that share the best score are all imitated. With K = 1 it is plain SFT, in nats a token.
  """
  return _imitate_the_best(logps, rewards, mask), {}


@loss_function
def best_of_k(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Rejection-sampling fine-tuning: imitate the best of K responses that the policy itself drew.

    loss = -sum m log pi_theta / sum m   over the best response of each group

  RAFT (Dong et al., 2023). The same numbers as `sft`: what differs is where the responses come
  from. Responses that share the best score are all imitated, so a group of equal rewards is
  imitated whole. RAFT keeps one of them, which would depend on their order.
  """
  return _imitate_the_best(logps, rewards, mask), {}


def _imitate_the_best(logps: PerToken, rewards: PerResponse, mask: Mask) -> Float[Array, ""]:
  best = jnp.where(is_present(rewards, mask), rewards, -jnp.inf).max(axis=1, keepdims=True)
  chosen = mask & (rewards == best)[..., None]
  return -token_mean(logps, chosen)
