"""Where a step's groups come from: the policy itself, a data set, or demonstrations.

All three are functions of the step alone (and of the policy): a run that resumes at step n sees the
groups it would have seen.
"""

import dataclasses
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments.errors import UserError
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


class Source(Protocol):
  """Collects the groups of a step. `rollouts(n)`: sampled responses that n steps have used."""

  def collect(self, step: int, params: Params) -> Batch: ...
  def rollouts(self, steps: int) -> int: ...


# --- online -------------------------------------------------------------------------------------


class Online:
  """The current policy samples K responses to each prompt of the step; the task scores them."""

  def __init__(self, parts: Parts):
    self._config, self._task = parts.config, parts.task
    sampler = parts.sampler(parts.config.group_size)
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
  positions = np.arange(step * batch, (step + 1) * batch)
  return np.array([_permutation(seed, p // n, n)[p % n] for p in positions])


@cache
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(n)


# --- offline ------------------------------------------------------------------------------------


class Offline:
  """A fixed data set of scored groups, in epochs, with the log-probs of its behaviour policy."""

  def __init__(self, config: ConfigDict, task: Task, path: str):
    self._config = config
    try:
      self._rows = group_dataset.read(path)
    except FileNotFoundError as error:
      raise UserError(f"offline.dataset: {error}") from None
    n, k, t = self._rows.arrays["responses"].shape
    if k != config.group_size or t > config.sampling.max_tokens:
      raise UserError(
        f"offline.dataset {path} holds K={k} responses of up to {t} tokens; this config has "
        f"group_size={config.group_size} and sampling.max_tokens={config.sampling.max_tokens}"
      )
    encoded = [task.tokenizer.encode(prompt) for prompt in self._rows.prompts]
    longest = max(task.max_prompt_tokens, *map(len, encoded))
    self._prompts = left_pad(encoded, longest, task.tokenizer.pad_id)

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
    used = min(steps * self._config.batch_prompts, len(self._rows.prompts))
    return used * self._config.group_size


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
    """People wrote them: nothing was sampled."""
    del steps
    return 0


def batch_metrics(batch: Batch) -> dict[str, Any]:
  """What the responses are like, in TRL's names: their rewards and their lengths in tokens."""
  rewards = batch.groups.rewards
  spread = rewards.std(axis=1)
  return {
    "reward": rewards.mean(),
    "reward_std": spread.mean(),
    "frac_reward_zero_std": (spread == 0).mean(),
    "completions/mean_length": batch.groups.mask.sum(axis=-1).mean(),
    "completions/clipped_ratio": 1 - batch.finished.mean(),
  }
