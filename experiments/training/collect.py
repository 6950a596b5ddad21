"""Where a step's groups come from: the policy itself, a data set, or demonstrations.

Each has `collect(step, params)`, the groups of a step; `rollouts(steps)`, the sampled responses
that so many steps have used; and `seconds(steps)`, what those took to collect before training
began. All are functions of the step alone (and of the policy): a run that resumes at step n sees
the groups it would have seen.
"""

import dataclasses
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments.training.setup import Parts
from models.groups import Groups
from models.partitioning import batch_sharding, replicated
from models.sampling import Sampler, Samples, sample
from models.transformer import ModelConfig, Params
from tasks import group_dataset
from tasks.task import Task
from tasks.tokenizer import left_pad, right_pad


@dataclasses.dataclass(frozen=True)
class Batch:
  """The groups of one step, on the host, and which responses ended by themselves."""

  groups: Groups
  finished: np.ndarray  # bool [B, K]


# --- online -------------------------------------------------------------------------------------


class Online:
  """The current policy samples K responses to each prompt of the step; the task scores them."""

  def __init__(self, parts: Parts):
    self._config, self._task = parts.config, parts.task
    c = parts.config
    sampler = parts.sampler(c.group_size, top_k=c.sampling.top_k, top_p=c.sampling.top_p)
    self._sample = compiled_sampler(parts.model, sampler, parts.mesh)

  def collect(self, step: int, params: Params) -> Batch:
    config, task = self._config, self._task
    rows = prompt_order(config.seed, step, config.batch_prompts, len(task.train))
    prompts, prompt_mask = (array[rows] for array in task.train_prompts)
    key = key_for("sampling", config.seed, step)
    samples = self._sample(params, prompts, prompt_mask, key, config.sampling.temperature)
    samples = jax.device_get(samples)
    items = [task.train[row] for row in rows]
    rewards = task.rewards(items, samples.responses, samples.finished)
    groups = Groups(
      prompts,
      prompt_mask,
      samples.responses,
      samples.mask,
      rewards,
      old_logps=samples.logps,
    )
    return Batch(groups, samples.finished)

  def rollouts(self, steps: int) -> int:
    return steps * self._config.batch_prompts * self._config.group_size

  def seconds(self, steps: int) -> float:
    """Sampling is a part of every step."""
    del steps
    return 0.0


@cache
def compiled_sampler(model: ModelConfig, sampler: Sampler, mesh: Mesh) -> Callable[..., Samples]:
  """(params, prompts, prompt_mask, key, temperature) -> Samples, jitted, prompts sharded."""

  def run(params, prompts, prompt_mask, key, temperature):
    return sample(model, params, prompts, prompt_mask, key, sampler, temperature)

  rows, everywhere = batch_sharding(mesh), replicated(mesh)
  return jax.jit(run, in_shardings=(None, rows, rows, everywhere, everywhere), out_shardings=rows)


def key_for(purpose: str, seed: int, step: int) -> jax.Array:
  """The random key of one purpose at one step: a resumed run draws what it would have drawn."""
  key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
  return jax.random.fold_in(key, step)


def prompt_order(seed: int, step: int, batch: int, n: int) -> np.ndarray:
  """The rows, of n, that step `step` trains on: each epoch a new permutation, nothing left out."""
  positions = range(step * batch, (step + 1) * batch)
  return np.array([_permutation(seed, p // n, n)[p % n] for p in positions])


@cache
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(n)


# --- offline ------------------------------------------------------------------------------------


class Offline:
  """A fixed data set of scored groups, in epochs, with the log-probs of its behaviour policy."""

  def __init__(self, parts: Parts, rows: group_dataset.Rows, seconds: float):
    """`seconds`: what it took to sample and score the data set."""
    self._config, self._rows, self._seconds = parts.config, rows, seconds
    encoded = [parts.task.tokenizer.encode(prompt) for prompt in rows.prompts]
    longest = max(parts.task.max_prompt_tokens, *map(len, encoded))
    self._prompts = left_pad(encoded, longest, parts.task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    del params
    n = len(self._rows.prompts)
    chosen = prompt_order(self._config.seed, step, self._config.batch_prompts, n)
    prompts, prompt_mask = (array[chosen] for array in self._prompts)
    rows = {name: array[chosen] for name, array in self._rows.arrays.items()}
    groups = Groups(
      prompts,
      prompt_mask,
      rows["responses"],
      rows["mask"],
      rows["rewards"],
      old_logps=rows["logps"],
    )
    return Batch(groups, rows["finished"])

  def rollouts(self, steps: int) -> int:
    """Each response of the data set counts when it is first used: it was sampled for that."""
    return self._used(steps) * self._config.group_size

  def seconds(self, steps: int) -> float:
    """What it took to collect the groups used so far."""
    return self._seconds * self._used(steps) / len(self._rows.prompts)

  def _used(self, steps: int) -> int:
    return min(steps * self._config.batch_prompts, len(self._rows.prompts))


# --- demonstrations -----------------------------------------------------------------------------


class Demonstrations:
  """The task's own answers, as groups of one response with reward 1."""

  def __init__(self, config: ConfigDict, task: Task):
    self._config, self._task = config, task
    encode, eos = task.tokenizer.encode, [task.tokenizer.eos_id]
    answers = [encode(item.answer) + eos for item in task.train]
    self._responses = right_pad(answers, task.max_answer_tokens, task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    del params
    batch = self._config.batch_prompts
    rows = prompt_order(self._config.seed, step, batch, len(self._task.train))
    prompts, prompt_mask = (array[rows] for array in self._task.train_prompts)
    responses, mask = (array[rows][:, None] for array in self._responses)
    ones = np.ones((batch, 1), np.float32)
    return Batch(Groups(prompts, prompt_mask, responses, mask, ones), ones > 0)

  def rollouts(self, steps: int) -> int:
    """They were written, not sampled."""
    del steps
    return 0

  def seconds(self, steps: int) -> float:
    del steps
    return 0.0


Source = Online | Offline | Demonstrations


def batch_metrics(batch: Batch) -> dict[str, Any]:
  """What the responses are like, in TRL's names: their rewards and their lengths in tokens."""
  rewards = batch.groups.rewards
  is_tie = rewards.max(axis=1) == rewards.min(axis=1)  # a std of equal floats may not be 0
  return {
    "reward": rewards.mean(),
    "reward_std": rewards.std(axis=1).mean(),
    "frac_reward_zero_std": is_tie.mean(),
    "completions/mean_length": batch.groups.mask.sum(axis=-1).mean(),
    "completions/clipped_ratio": 1 - batch.finished.mean(),
  }
