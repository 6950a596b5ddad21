"""The arrays of a batch that networks compute before it is trained on, if the loss asks for them.

They stay what they are over all inner steps: the reference's log-probs, the critic's values at the
time of collection, the trainer's own log-probs where the sampler's are corrected for.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from models.groups import Groups
from models.partitioning import on_devices
from models.transformer import Params
from training.compiled import compiled_log_probs, compiled_values
from training.parts import Parts
from training.state import TrainState


def annotate(
  parts: Parts,
  state: TrainState,
  reference: Params | None,
  groups: Groups,
) -> Groups:
  """The groups with those of the words that are computed once a batch."""
  words, temperature = parts.words, float(parts.config.sampling.temperature)
  log_probs = compiled_log_probs(parts.model, parts.mesh)
  added: dict[str, Any] = {}
  if "ref_logps" in words and reference is not None:
    added["ref_logps"] = log_probs(on_devices(reference), groups, temperature)[0]
  if "sampler_logps" in words:
    # top-k or top-p made them others than old_logps, which are of the whole distribution.
    drawn = groups.old_logps if groups.sampler_logps is None else groups.sampler_logps
    added["sampler_logps"] = added["old_logps"] = drawn
  if parts.recomputes:
    added["old_logps"] = log_probs(state.params, groups, temperature)[0]
  if "old_values" in words:
    added["old_values"] = compiled_values(parts.model, parts.mesh)(state.critic, groups)
  if "reward_baseline" in words:
    added["reward_baseline"] = jnp.full_like(groups.rewards, float(state.reward_mean))
  return dataclasses.replace(groups, **added)
