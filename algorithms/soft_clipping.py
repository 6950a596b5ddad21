"""GRPO's relatives that damp a large ratio instead of cutting the gradient off at a clip.

PPO's clip drops a token from the gradient once its ratio is far enough; these keep every token and
weigh it by a function of the ratio. In `cispo` and `vespo` that weight is a constant to the
gradient, so the value of the loss means little; its gradient is the point.
"""

import jax
import jax.numpy as jnp

from algorithms.advantages import group_relative
from algorithms.divergences import KL, LARGEST_LOG_RATIO
from algorithms.loss_function import loss_function
from algorithms.policy_gradient import kl_penalty, mean_ratio, per_token, token_ratio
from algorithms.reductions import sequence_mean, sequence_sum, share_of_tokens, token_mean
from algorithms.shapes import Ddof, Mask, PerResponse, PerToken, Positive, RatioCap, Weight


@loss_function
def cispo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  ratio_cap: RatioCap = 5.0,
  ddof: Ddof = 0,
):
  """Clipped IS-weight Policy Optimization (MiniMax-M1, 2025, eq. 4-5), with ScaleRL's cap.

    loss = -1/(sum_i n_i) sum_it [sg(min(rho_it, cap)) A_i log pi_theta(y_it) - beta KL_it]

  MiniMax writes the cap as 1 + eps_high; ScaleRL (Khatri et al., 2025), and TRL, as the bound
  itself, and so it is here. There is no lower bound.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    ratio_cap: the largest weight of a token.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  a = per_token(group_relative(rewards, ddof=ddof))
  ratio = token_ratio(logps, old_logps, mask)
  weights = jax.lax.stop_gradient(jnp.minimum(ratio, ratio_cap))
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = weights * a * logps - penalty
  capped = share_of_tokens((ratio > ratio_cap) & (a > 0), mask)
  metrics = {"cispo_clip_ratio": capped} | mean_ratio(ratio, mask)
  return -token_mean(objective, mask), metrics | kl_metrics


@loss_function
def sapo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  temperature_pos: Positive = 1.0,
  temperature_neg: Positive = 1.05,
  ddof: Ddof = 0,
):
  """Soft Adaptive Policy Optimization (Gao et al., 2025, arXiv:2511.20347).

    f(rho) = 4/tau sigmoid(tau (rho - 1)),   tau = tau_pos where A_i > 0, else tau_neg
    loss   = -mean_i 1/n_i sum_t [f(rho_it) A_i - beta KL_it]

  f'(1) = 1, so the first step is GRPO's; further away the gate closes smoothly on both sides.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    temperature_pos: tau of responses better than their group: larger closes the gate sooner.
    temperature_neg: tau of the others; the paper's is larger, for negative tokens are less stable.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  a = per_token(group_relative(rewards, ddof=ddof))
  ratio = token_ratio(logps, old_logps, mask)
  tau = jnp.where(a > 0, temperature_pos, temperature_neg)
  gate = 4 / tau * jax.nn.sigmoid(tau * (ratio - 1))
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = gate * a - penalty
  return -sequence_mean(objective, mask), mean_ratio(ratio, mask) | kl_metrics


@loss_function
def vespo(
  logps: PerToken,
  old_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  ref_logps: PerToken | None = None,
  *,
  beta: Weight = 0.0,
  kl: KL = "k3",
  k_pos: Positive = 2.0,
  lambda_pos: Positive = 3.0,
  k_neg: Positive = 3.0,
  lambda_neg: Positive = 2.0,
  ddof: Ddof = 0,
):
  """Variational Sequence-level Soft Policy Optimization (Shen et al., 2026, arXiv:2602.10693).

    w_i    = pi_theta(y_i) / pi_old(y_i)              of the whole response, no length root
    phi(w) = w^k e^(lambda (1 - w))                   k, lambda by the sign of A_i; phi(1) = 1
    loss   = -1/(sum_i n_i) sum_it [sg(phi(w_i)) A_i log pi_theta(y_it) - beta KL_it]

  phi is largest at w = k / lambda and falls to 0 on both sides.

  Args:
    beta: strength of the KL to the reference; 0 turns it off.
    kl: its estimate: "k1", "k2", "k3" or "weighted_k3" (see `divergences`).
    k_pos, k_neg: the power, of A >= 0 and A < 0: larger damps small w more.
    lambda_pos, lambda_neg: the decay, of A >= 0 and A < 0: larger damps large w more.
    ddof: of the standard deviation in A: 0 divides the variance by K, 1 (TRL's) by K - 1.
  """
  advantages = group_relative(rewards, ddof=ddof)
  positive = advantages >= 0
  k, decay = jnp.where(positive, k_pos, k_neg), jnp.where(positive, lambda_pos, lambda_neg)
  phi = jax.lax.stop_gradient(_gamma_weight(sequence_sum(logps - old_logps, mask), k, decay))
  penalty, kl_metrics = kl_penalty(beta, kl, logps, ref_logps, mask, old_logps)
  objective = per_token(phi * advantages) * logps - penalty
  metrics = {"vespo/phi_seq_mean": phi.mean()}
  metrics |= mean_ratio(token_ratio(logps, old_logps, mask), mask)
  return -token_mean(objective, mask), metrics | kl_metrics


def _gamma_weight(log_w: PerResponse, k: PerResponse, decay: PerResponse) -> PerResponse:
  """w^k e^(decay (1 - w)), cut at e^20 like every ratio."""
  log_w = jnp.clip(log_w, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
  return jnp.exp(jnp.minimum(k * log_w + decay * (1 - jnp.exp(log_w)), LARGEST_LOG_RATIO))
