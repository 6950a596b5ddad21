"""A step's batch, in pieces to train on and in numbers to read."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from models.groups import Groups
from models.partitioning import batch_sharding, replicated
from training.layouts import Lengths, laid_out
from training.parts import Parts
from training.population.shared import Shared, shared_on
from training.scoring import changes_rewards
from training.sources.batch import Batch, is_tied


def minibatches(parts: Parts, groups: Groups, lengths: Lengths, step: int) -> list[Groups]:
  """The groups of each inner step: every epoch over the batch in a new order, groups whole."""
  config = parts.config
  if config.minibatches == 1:
    return [groups] * config.inner_epochs
  size = config.batch_prompts // config.minibatches
  groups, pieces = dataclasses.replace(groups, layout=None), []
  for epoch in range(config.inner_epochs):
    for rows in order_of(config, step, epoch).reshape(-1, size):
      piece = compiled_rows(parts.mesh)(groups, rows)
      pieces.append(laid_out(parts, piece, lengths.take(rows), config.micro_batches))
  return pieces


def order_of(config: ConfigDict, step: int, epoch: int) -> np.ndarray:
  """int [B]: the batch's groups in the order in which an epoch has them, if in minibatches."""
  return np.random.default_rng((config.seed, step, epoch)).permutation(config.batch_prompts)


def of_first_epoch(
  config: ConfigDict, step: int, values: Sequence[np.ndarray | None]
) -> np.ndarray | None:
  """[B, K] in the batch's order, from the values [b, K] of each of the step's minibatches."""
  if config.minibatches == 1 or values[0] is None:
    return values[0]
  in_turn = np.concatenate([np.asarray(value) for value in values[: config.minibatches]])
  return in_turn[np.argsort(order_of(config, step, 0))]


@cache
def compiled_rows(mesh: Mesh) -> Shared:
  """(groups, rows) -> those of the groups, jitted: whichever device, or process, they come from."""

  def take(groups, rows):
    return jax.tree.map(lambda x: x[rows], groups)

  split = batch_sharding(mesh)
  return shared_on(mesh, take, (split, replicated(mesh)), split)


def batch_metrics(config: ConfigDict, batch: Batch, names: tuple[str, ...]) -> dict[str, Any]:
  """Numbers about the responses, in TRL's names: rewards (`names` of those in a sum), lengths.

  `batch` has the rows of all processes and no tokens (`Batch.for_metrics`): its groups' responses
  and masks are None, its `scored.lengths` and `scored.finished` are there.
  """
  scored_groups, rewards = batch.scored, batch.groups.rewards
  scored = ~np.isnan(rewards)
  metrics = {
    "frac_reward_zero_std": is_tied(rewards).mean(),
    "completions/mean_length": scored_groups.lengths.mean(),
    "completions/clipped_ratio": 1 - scored_groups.finished.mean(),
  }
  if scored.any():
    metrics["reward"] = rewards[scored].mean()
    metrics["reward_std"] = np.nanstd(rewards[scored.any(axis=1)], axis=1).mean()
  task_rewards = scored_groups.task_rewards
  if changes_rewards(config) or not np.array_equal(rewards, task_rewards, equal_nan=True):
    metrics["task_reward"] = np.nanmean(task_rewards)
  if len(names) > 1 and batch.groups.reward_parts is not None:
    means = np.nanmean(batch.groups.reward_parts, axis=(0, 1))
    metrics |= {f"rewards/{name}": mean for name, mean in zip(names, means, strict=True)}
  if scored_groups.ages is not None:
    metrics["staleness"] = scored_groups.ages.mean()
  if not scored.all():
    metrics["unscored"] = 1 - scored.mean()
  if config.sampling.refills:
    metrics["dynamic_sampling/draws"] = batch.rollouts / rewards.size
    metrics["dynamic_sampling/tied_left"] = batch.tied_left
  return metrics


def sampling_warnings(config: ConfigDict, words: frozenset[str]) -> list[str]:
  """Whether what is drawn is of another distribution than the loss's ratios, and not corrected."""
  sampling = config.sampling
  fields = [f"sampling.top_k={sampling.top_k}"] * (sampling.top_k > 0)
  fields += [f"sampling.top_p={sampling.top_p:g}"] * (sampling.top_p < 1)
  if not fields or config.source == "demonstrations":
    return []
  if "sampler_logps" in words and config.source == "online":
    return []
  return [
    f"{' and '.join(fields)}: responses are not drawn from the policy whose log-probs the loss "
    "has, and nothing corrects for it (docs/regimes.md says what does)"
  ]


def batch_warnings(config: ConfigDict, batch: Batch) -> list[str]:
  """Warnings about the batch, in words that do not change from step to step."""
  warnings = []
  if batch.tied_left:
    warnings.append(
      f"sampling.refills={config.sampling.refills} left some groups of equal rewards, which teach "
      "nothing (train/dynamic_sampling/tied_left counts them)"
    )
  if np.isnan(batch.groups.rewards).any():
    warnings.append("some responses could not be scored and take no part (train/unscored)")
  rewards, finished = batch.groups.rewards, batch.scored.finished
  ended, cut = rewards[finished], rewards[~finished]
  if config.scoring.unfinished != 0 and (ended < np.nanmax(cut, initial=-np.inf)).any():
    warnings.append(
      f"scoring.unfinished={config.scoring.unfinished:g}: a response that was cut off gets more "
      "than some that ended, which teaches never to stop; 0 gives it the task's least reward"
    )
  return warnings
