"""Estimates of KL(policy || reference) from the tokens that the policy drew.

With d = log pi_ref - log pi_theta at a token the policy sampled (Schulman, 2020, "Approximating KL
divergence"), in nats:

  k1 = -d            unbiased, high variance, may be negative. As a *loss* it does nothing:
                     on-policy its gradient has mean zero. It belongs in the reward, detached
                     (PPO, RLOO).
  k2 = d^2 / 2       biased, low variance. Its gradient is, on-policy, the true one of
                     KL(policy || reference).
  k3 = e^d - d - 1   unbiased, never negative; GRPO's. Its gradient is, in expectation, the
                     one of the *forward* KL(reference || policy), not of the reverse KL whose
                     value it estimates.

  weighted_k3 = rho k3, rho = pi_theta / pi_old of the policy that drew the tokens: unbiased off
                     policy too, in its value and in its gradient, which is rho times k2's: that of
                     KL(policy || reference). On the first step after sampling, exactly k2's.
                     DeepSeek-V3.2 (2025, eq. 7); TRL 1.16 unless told otherwise
                     (use_bias_correction_kl).

The ratio is a token's: the prefix stays the old policy's. TRL's losses with one ratio a response
(gspo) take that one, for which none of this holds; here every loss takes the token's.

All are elementwise, log-probs in, nats out. `d` is cut at +-20 so that e^d stays finite in float32:
it changes nothing between policies that are less than e^20 apart.
"""

from typing import Literal

import jax.numpy as jnp

from algorithms.shapes import PerToken

KL = Literal["k1", "k2", "k3", "weighted_k3"]
LARGEST_LOG_RATIO = 20.0


def k1(logps: PerToken, ref_logps: PerToken) -> PerToken:
  """log pi_theta - log pi_ref."""
  return logps - ref_logps


def k2(logps: PerToken, ref_logps: PerToken) -> PerToken:
  """(log pi_theta - log pi_ref)^2 / 2."""
  return (logps - ref_logps) ** 2 / 2


def k3(logps: PerToken, ref_logps: PerToken) -> PerToken:
  """e^d - d - 1 with d = log pi_ref - log pi_theta (GRPO: Shao et al., 2024, eq. 4)."""
  d = jnp.clip(ref_logps - logps, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
  return jnp.expm1(d) - d


def weighted_k3(logps: PerToken, ref_logps: PerToken, old_logps: PerToken) -> PerToken:
  """(pi_theta / pi_old) (e^d - d - 1), the gradient flowing into both (DeepSeek-V3.2, eq. 7)."""
  log_ratio = jnp.clip(logps - old_logps, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
  return jnp.exp(log_ratio) * k3(logps, ref_logps)


ESTIMATES = {"k1": k1, "k2": k2, "k3": k3}  # on-policy: functions of two policies
