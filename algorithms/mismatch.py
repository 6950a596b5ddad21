"""Corrections for what the trainer's policy and the sampler's disagree in, whatever the loss.

Three policies: mu, which drew the responses (with its arithmetic, its top-p, its older parameters);
pi_old, the trainer's at the beginning of the step; pi, the one that is trained now. A correction is
a weight a token, the product of its parts, on the loss's gradient in log pi. It is a constant to
the gradient, and no loss knows of it:

  d loss / d log pi(y_it)  becomes  w_it d loss / d log pi(y_it),   w = product of parts(r)
  r_it = pi_old(y_it) / mu(y_it)    anchor "recomputed": the loss's own ratio is pi / pi_old
  r_it = pi(y_it) / mu(y_it)        anchor "sampler": the loss's pi_old is mu itself

The first is decoupled PPO (Hilton et al., 2021), the second verl's "bypass" (its "Rollout
correction" documents, which have all of these parts).

  >>> logps, sampler_logps = jnp.log(jnp.array([[[0.5, 0.4]]])), jnp.log(jnp.array([[[0.5, 0.1]]]))
  >>> truncate(logps, sampler_logps, jnp.array([[[True, True]]]), level="token", cap=2.0).tolist()
  [[[1.0, 2.0]]]
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from algorithms.corrections import truncated_importance_weights
from algorithms.divergences import k1, k3
from algorithms.policy_gradient import geometric_mean_ratio, sequence_ratio, token_ratio
from algorithms.reductions import share_of_tokens, token_mean
from algorithms.shapes import (
  Mask,
  Metrics,
  PerToken,
  Positive,
  RatioCap,
  RatioFloor,
  Scalar,
  Weight,
)

# --- the parts: weights [B, K, T], 1 at padding -------------------------------------------------


def truncate(
  logps: PerToken,
  sampler_logps: PerToken,
  mask: Mask,
  *,
  level: Literal["token", "sequence"],
  cap: RatioCap,
) -> PerToken:
  """min(r, cap): truncated importance sampling (Yao et al., 2025; verl's rollout_is).

  "token": r_it. "sequence": prod_t r_it at each token of the response, unbiased but noisy.
  """
  return truncated_importance_weights(logps, sampler_logps, mask, level, cap)


def keep(
  logps: PerToken,
  sampler_logps: PerToken,
  mask: Mask,
  *,
  level: Literal["token", "sequence", "geometric"],
  low: Weight,
  high: Positive,
) -> PerToken:
  """1 where low <= r <= high, else 0 (verl's rollout_rs).

  "token": r_it. "sequence": prod_t r_it, of the whole response. "geometric": its n_i-th root, the
  mean ratio of a token.
  """
  log_ratio = logps - sampler_logps
  ratio = {
    "token": lambda: token_ratio(logps, sampler_logps, mask),
    "sequence": lambda: sequence_ratio(logps, sampler_logps, mask),
    "geometric": lambda: geometric_mean_ratio(log_ratio, mask),
  }[level]()
  return jnp.where(mask, (ratio >= low) & (ratio <= high), True).astype(logps.dtype)


def veto(
  logps: PerToken, sampler_logps: PerToken, mask: Mask, *, threshold: RatioFloor
) -> PerToken:
  """0 at every token of a response that has one with r_it < threshold, else 1 (verl's veto)."""
  is_far = jnp.where(mask, logps - sampler_logps < jnp.log(threshold), False)
  kept = ~is_far.any(axis=-1, keepdims=True)
  return jnp.where(mask, kept, True).astype(logps.dtype)


# By the names that a config gives them; read from the source, so a plain literal of names.
PARTS = {"truncate": truncate, "mask": keep, "veto": veto}

Numbers = Sequence[Mapping[str, Scalar]]  # of each part, by name

# --- the correction -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Correction:
  """The product of some parts. Hashable: the parts' numbers are arguments.

  Attributes:
    anchor: "recomputed" or "sampler", whose log-probs the numerator of r has; see the module.
    parts: (a name of PARTS, its options that are no numbers) each.
  """

  anchor: str
  parts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

  def __call__(
    self,
    logps: PerToken,
    old_logps: PerToken,
    sampler_logps: PerToken,
    mask: Mask,
    numbers: Numbers,
  ) -> tuple[PerToken, Metrics]:
    """logps, with the same values and a gradient times the weights; and `mismatch_metrics`.

    Args:
      logps: log pi. The value stays to the bit.
      old_logps: log pi_old, of the trainer. Read with the anchor "recomputed" only.
      sampler_logps: log mu of what was really drawn.
      numbers: those of each part, by name.
    """
    trainer_logps = old_logps if self.anchor == "recomputed" else logps
    trainer_logps, sampler_logps = jax.lax.stop_gradient((trainer_logps, sampler_logps))
    weights = self.weights(trainer_logps, sampler_logps, mask, numbers)
    metrics = mismatch_metrics(trainer_logps, sampler_logps, weights, mask)
    return reweighed(logps, weights, mask), metrics

  def weights(
    self, logps: PerToken, sampler_logps: PerToken, mask: Mask, numbers: Numbers
  ) -> PerToken:
    """The product of the parts."""
    product = jnp.ones_like(logps)
    for (name, texts), its_numbers in zip(self.parts, numbers, strict=True):
      options: dict[str, Any] = {**dict(texts), **its_numbers}
      product *= PARTS[name](logps, sampler_logps, mask, **options)
    return product


def reweighed(logps: PerToken, weights: PerToken, mask: Mask) -> PerToken:
  """logps to the bit, whose cotangent is multiplied by the weights on its way back."""
  at_rest = jax.lax.stop_gradient(logps)
  return jnp.where(mask, at_rest + weights * (logps - at_rest), logps)


def mismatch_metrics(
  logps: PerToken, sampler_logps: PerToken, weights: PerToken, mask: Mask
) -> Metrics:
  """How far trainer and sampler are apart, and what the weights leave. TRL's names, and verl's KL.

  `kl_k1` and `kl_k3` estimate KL(mu || trainer) in nats a token; the effective sample size is
  (sum w)^2 / (n sum w^2) of the n tokens, 1 where all weigh the same.
  """
  logps, sampler_logps = (jnp.where(mask, x, 0.0) for x in (logps, sampler_logps))
  difference = jnp.abs(logps - sampler_logps)
  w = jnp.where(mask, weights, 0.0)
  square = jnp.maximum(mask.sum(), 1) * (w**2).sum()
  in_use, left = mask.any(axis=-1), (w > 0).any(axis=-1)
  return {
    "sampling/sampling_logp_difference/mean": token_mean(difference, mask),
    "sampling/sampling_logp_difference/max": difference.max(),
    "sampling/kl_k1": token_mean(k1(sampler_logps, logps), mask),
    "sampling/kl_k3": token_mean(k3(sampler_logps, logps), mask),
    "sampling/effective_sample_size": w.sum() ** 2 / jnp.where(square > 0, square, 1.0),
    "sampling/masked/tokens": share_of_tokens(w == 0, mask),
    "sampling/masked/responses": (in_use & ~left).sum() / jnp.maximum(in_use.sum(), 1),
  }
