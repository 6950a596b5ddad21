"""Staleness: how far training has moved away from the policy that wrote its data."""

import jax
import numpy as np
from jaxtyping import Float

from models.transformer import Params
from training.compiled import compiled_log_probs
from training.layouts import placed
from training.parts import Parts
from training.sources.offline import Offline


def log_ratios(parts: Parts, params: Params, source: Offline) -> Float[np.ndarray, " N"]:
  """Returns log pi(y) - log pi_behaviour(y) of all responses trained on, in nats a response."""
  log_probs, temperature = compiled_log_probs(parts.model, parts.mesh), parts.config.sampling
  found = {}
  for step in range(parts.config.steps):
    batch = source.collect(step, params).scored
    logps = jax.device_get(
      log_probs(params, placed(parts, batch.groups), float(temperature.temperature))[0]
    )
    difference = np.where(batch.groups.mask, logps - batch.groups.old_logps, 0.0).sum(axis=-1)
    found |= dict(zip(batch.rows.tolist(), difference, strict=True))  # by row: epochs repeat rows
  return np.concatenate([found[row] for row in sorted(found)])


def staleness(log_ratios: Float[np.ndarray, " N"]) -> dict[str, float]:
  """Summarizes importance ratios w_i = pi(y_i) / pi_behaviour(y_i), one a whole response.

  ratio_mean       mean w, 1 in expectation; far below 1, the data misses what the policy now writes
  ratio_max        the largest w
  effective_share  (sum w)^2 / (N sum w^2) (Kish, 1965): how many responses the data is worth as a
                   sample of the new policy, as a share of those there are; 1 on-policy
  """
  w = np.exp(log_ratios - log_ratios.max())  # the largest is 1: sums cannot overflow
  with np.errstate(over="ignore"):
    scale = np.exp(np.float64(log_ratios.max()))
    return {
      "ratio_mean": float(w.mean() * scale),
      "ratio_max": float(scale),
      "effective_share": float(w.sum() ** 2 / (len(w) * (w**2).sum())),
    }
