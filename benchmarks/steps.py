"""The steps that are timed, made of the trainer's own parts: `Online`, `annotate`, the update.

A step is one of `training.loop`, without evaluation, records and checkpoints.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.sizes import Size
from benchmarks.works import Work
from configs import common
from models.groups import Groups
from tasks.rewards.reward import Reward
from tasks.task import Item, Task
from tasks.tokenizers.tokenizer import CharTokenizer
from training import hosts
from training.annotate import annotate
from training.build import put_together
from training.devices import mesh_of
from training.parts import Parts
from training.scoring import Scorer
from training.sources.online import Online
from training.state import new_state, random_params
from training.update import compiled_update

Seconds = dict[str, float]  # of each phase of a step

NEVER = -1  # a token that no vocabulary has


class RandomTokens(CharTokenizer):
  """Encodes each character as a random token; no token ends a response, so all are full length."""

  eos_id: int = NEVER
  eos_ids: tuple[int, ...] = (NEVER,)

  def __init__(self, vocab_size: int):
    self.vocab_size = vocab_size
    self._rng = np.random.default_rng(0)

  def encode(self, text: str) -> list[int]:
    return self._rng.integers(1, self.vocab_size, len(text)).tolist()


def prepare(work: Work, size: Size, dtype: str) -> Callable[[int], Seconds]:
  """Makes weights, optimizer state and data; returns a function that does and times step i."""
  parts = parts_of(work, size, dtype)
  params = random_params(parts.model, parts.mesh, seed=0)
  if not work.loss:
    source = Online(parts, Scorer(parts))

    def draw(number: int) -> Seconds:
      start = time.perf_counter()
      source.collect(number, params)
      return {"collect": time.perf_counter() - start}

    return draw
  return _Training(work, size, parts, params)


def parts_of(work: Work, size: Size, dtype: str) -> Parts:
  """Returns the parts of a run of this work, with random tokens as its task."""
  config = config_of(work, size, dtype)
  task = Task(
    name="random tokens",
    train=tuple(Item("?" * size.prompt_tokens, "") for _ in range(config.batch_prompts)),
    evaluation=(),
    reward=Reward(),
    tokenizer=RandomTokens(size.model.vocab_size),
  )
  return put_together(config, task, mesh_of(config))


def config_of(work: Work, size: Size, dtype: str) -> ConfigDict:
  config = common.defaults(work.loss or "grpo")
  batch = work.batch(size)
  config.batch_prompts, config.group_size = batch.prompts, batch.group_size
  config.sampling.max_tokens = size.response_tokens
  fields = dataclasses.asdict(size.model) | {"tied": True, "dtype": dtype}
  del fields["vocab_size"]  # the tokenizer has it
  config.model.update(fields)
  if work.beta is not None:
    config.algorithm.beta = work.beta
  return config


class _Training:
  """A policy and its optimizer between steps."""

  def __init__(self, work: Work, size: Size, parts: Parts, params):
    self._parts, self._work = parts, work
    self._update = compiled_update(parts.update_spec)
    self._state = new_state(params, parts.mesh)
    self._groups = random_groups(parts, size)
    if "ref_logps" in parts.loss.words and not work.scores_reference:
      groups = hosts.to_global(parts.mesh, self._groups)
      self._groups = jax.device_get(annotate(parts, self._state, params, groups))
    self._reference = params if work.scores_reference else None  # kept only if needed
    self._source = Online(parts, Scorer(parts)) if work.samples else None

  def __call__(self, number: int) -> Seconds:
    seconds, start = {}, time.perf_counter()

    def passed(phase: str) -> None:
      nonlocal start
      now = time.perf_counter()
      seconds[phase], start = now - start, now

    groups = self._groups
    if self._source:
      groups = self._source.collect(number, self._state.params).groups
      # No response ended, so all rewards are 0, which would teach nothing.
      groups = dataclasses.replace(groups, rewards=self._groups.rewards)
      passed("collect")
    groups = hosts.to_global(self._parts.mesh, groups)
    groups = annotate(self._parts, self._state, self._reference, groups)
    if self._work.scores_reference and number:  # the first step does not wait, as in training
      jax.block_until_ready(groups.ref_logps)
      passed("reference")
    self._state, metrics, _ = self._update(self._state, groups, self._parts.numbers)
    jax.device_get(metrics)
    jax.block_until_ready(self._state)
    passed("update")
    return seconds


def random_groups(parts: Parts, size: Size) -> Groups:
  """Returns groups of full length, all of whose responses have different rewards."""
  config, rng = parts.config, np.random.default_rng(0)
  prompts, prompt_mask = parts.task.train_prompts
  shape = (config.batch_prompts, config.group_size, size.response_tokens)
  rewards = np.tile(np.linspace(1, 0, config.group_size, dtype=np.float32), (shape[0], 1))
  return Groups(
    prompts,
    prompt_mask,
    rng.integers(1, parts.model.vocab_size, shape).astype(np.int32),
    np.ones(shape, bool),
    rewards,
  )
