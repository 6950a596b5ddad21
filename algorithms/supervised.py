"""Imitation: of the best response of each group, or of a teacher on the policy's own responses."""

import jax.numpy as jnp

from algorithms.loss_function import loss_function
from algorithms.policy_gradient import mean_ratio, token_ratio
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


@loss_function
def on_policy_distillation(logps: PerToken, old_logps: PerToken, ref_logps: PerToken, mask: Mask):
  """On-policy distillation: the reverse KL to a teacher, on the policy's own responses (Thinking
  Machines Lab, 2025, "On-Policy Distillation"; GKD: Agarwal et al., 2024, arXiv:2306.13649).

    A_it = log pi_T(y_it) - log pi_old(y_it)         pi_T, the teacher: the run `reference.run`
    loss = -1/(sum_i n_i) sum_it rho_it A_it,       rho_it = pi_theta(y_it) / pi_old(y_it)

  On fresh samples its value estimates the mean of KL(pi_theta || pi_T) at a token, in nats, and its
  gradient that KL's, of each token by itself: what a token does to the later ones is left out (a
  discount of 0). GKD sums over all tokens that might be drawn; here there are those that were.
  Rewards have no part.
  """
  ratio = token_ratio(logps, old_logps, mask)
  kl = token_mean(logps - ref_logps, mask)
  loss = -token_mean(ratio * (ref_logps - old_logps), mask)
  return loss, {"kl": kl} | mean_ratio(ratio, mask)
