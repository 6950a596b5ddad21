"""The steps that are timed, made of the trainer's own parts: `Online`, `annotate`, the update.

A step is one of `training.loop`, without evaluation, records and checkpoints.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.peers import lengths
from benchmarks.sizes import Size
from benchmarks.works import Work
from configs import common
from models.groups import Groups
from tasks.rewards.reward import Reward
from tasks.task import Item, Task
from tasks.tokenizers.tokenizer import CharTokenizer
from training.annotate import annotate
from training.build import put_together
from training.devices import mesh_of
from training.layouts import placed
from training.parts import Parts
from training.scoring import Scorer
from training.sources.online import Online
from training.state import new_state, random_params
from training.update import compiled_update

Seconds = dict[str, float]  # of each phase of a step

NEVER = -1  # a token that no vocabulary has
BATCHES = 12  # of different lengths


class RandomTokens(CharTokenizer):
  """Encodes each character as a random token. No token ends a response, or the first `ends` do."""

  def __init__(self, vocab_size: int, ends: int = 0):
    self.vocab_size = vocab_size
    self.eos_ids = tuple(range(1, 1 + ends)) or (NEVER,)
    self.eos_id = self.eos_ids[0]
    self._rng = np.random.default_rng(0)

  def encode(self, text: str) -> list[int]:
    return self._rng.integers(1 + len(self.eos_ids), self.vocab_size, len(text)).tolist()

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    return ""  # the tokens are no text


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
  count, ends = config.batch_prompts, 0
  prompts = [size.prompt_tokens] * count
  if work.lengths:
    of_data = lengths.GSM8K_QUESTIONS if work.samples else lengths.PANDALM_PROMPTS
    prompts = lengths.drawn(of_data, count * BATCHES, seed=0)
    ends = lengths.ends(size.model.vocab_size) if work.samples else 0
  task = Task(
    name="random tokens",
    train=tuple(Item("?" * tokens, "") for tokens in prompts),
    evaluation=(),
    reward=Reward(),
    tokenizer=RandomTokens(size.model.vocab_size, ends),
  )
  return put_together(config, task, mesh_of(config))


def config_of(work: Work, size: Size, dtype: str) -> ConfigDict:
  config = common.defaults(work.loss or "grpo")
  batch = work.batch(size)
  config.batch_prompts, config.group_size = batch.prompts, batch.group_size
  config.sampling.max_tokens = size.response_tokens
  if work.lengths:
    longest = lengths.PANDALM_CHOSEN[-1], lengths.PANDALM_REJECTED[-1]
    config.sampling.max_tokens = lengths.GSM8K_MAX if work.samples else max(longest)
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
    self._groups = random_groups(parts, work)
    if "ref_logps" in parts.loss.words and not work.scores_reference:
      annotated = annotate(parts, self._state, params, placed(parts, self._groups[0]))
      self._groups = [dataclasses.replace(jax.device_get(annotated), layout=None)]
    self._reference = params if work.scores_reference else None  # kept only if needed
    self._source = Online(parts, Scorer(parts)) if work.samples else None

  def __call__(self, number: int) -> Seconds:
    seconds, start = {}, time.perf_counter()

    def passed(phase: str) -> None:
      nonlocal start
      now = time.perf_counter()
      seconds[phase], start = now - start, now

    groups = self._groups[number % len(self._groups)]
    if self._source:
      # The task rewards nothing, which would teach nothing.
      collected = self._source.collect(number, self._state.params).groups
      groups = dataclasses.replace(collected, rewards=groups.rewards)
      passed("collect")
    groups = placed(self._parts, groups)
    groups = annotate(self._parts, self._state, self._reference, groups)
    if self._work.scores_reference and number:  # the first step does not wait, as in training
      jax.block_until_ready(groups.ref_logps)
      passed("reference")
    self._state, metrics, _ = self._update(self._state, groups, self._parts.numbers)
    jax.device_get(metrics)
    jax.block_until_ready(self._state)
    passed("update")
    return seconds


def random_groups(parts: Parts, work: Work) -> list[Groups]:
  """Returns batches of groups, all of whose responses have different rewards.

  One batch of full length, or as many as there are prompts for, of the work's lengths.
  """
  config, rng = parts.config, np.random.default_rng(0)
  b, k, t = config.batch_prompts, config.group_size, config.sampling.max_tokens
  rewards = np.tile(np.linspace(1, 0, k, dtype=np.float32), (b, 1))
  found = []
  for first in range(0, len(parts.task.train), b):
    prompts, prompt_mask = (x[first : first + b] for x in parts.task.train_prompts)
    responses = rng.integers(1, parts.model.vocab_size, (b, k, t)).astype(np.int32)
    tokens = np.full((b, k), t)
    if work.lengths and not work.samples:
      both = lengths.PANDALM_CHOSEN, lengths.PANDALM_REJECTED
      tokens = np.stack([lengths.drawn(one, b, seed=first) for one in both], axis=1)
    mask = np.arange(t) < tokens[..., None]
    found.append(Groups(prompts, prompt_mask, np.where(mask, responses, 0), mask, rewards))
  return found
