"""Imitation: maximum likelihood of the best response of each group."""

import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.preferences import is_present
from algorithms.reductions import token_mean
from algorithms.shapes import Mask, PerResponse, PerToken


@loss_function
def sft(logps: PerToken, rewards: PerResponse, mask: Mask):
  """Supervised fine-tuning: imitates the best response of each group.

    loss = -sum m log pi_theta / sum m   over the best responses, in nats a token

  On demonstrations, one a prompt, it is plain SFT. On K responses that the policy itself drew it is
  rejection-sampling fine-tuning, best of K (RAFT: Dong et al., 2023; configs/best_of_k.py).

  Responses that share the best score are all imitated, so a group of equal rewards is imitated
  whole. RAFT keeps one of them, which would depend on their order.
  """
  best = jnp.where(is_present(rewards, mask), rewards, -jnp.inf).max(axis=1, keepdims=True)
  chosen = mask & (rewards == best)[..., None]
  return -token_mean(logps, chosen), {}
