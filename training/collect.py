"""Where a step's groups come from: the policy itself, a data set, or demonstrations.

Each has `collect(step, params)`, the groups of a step, and `seconds(steps)`, what those of so many
steps took to collect before training began. Both are functions of the step alone (and of the
policy): a run that resumes at step n sees the groups it would have seen. Of several processes each
collects its own rows of the batch (`hosts.py`).
"""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from models.groups import Groups
from models.partitioning import batch_sharding, replicated
from models.sampling import Sampler, sample
from models.transformer import ModelConfig, Params
from tasks import group_dataset
from tasks.tokenizers.tokenizer import left_pad, right_pad
from training import hosts
from training.population.shared_functions import Shared, shared_on
from training.scoring import Scorer
from training.setup import Parts


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn:
  """This process's groups of a batch of B, and what is known of them beside. A pytree."""

  groups: Groups  # with the rewards to train on
  task_rewards: np.ndarray  # float32 [B, K], the task's own
  finished: np.ndarray  # bool [B, K]: did the response end by itself?
  lengths: np.ndarray  # int [B, K], tokens, also of responses that the scoring leaves out
  prompt_lengths: np.ndarray  # int [B], tokens
  rows: np.ndarray  # int [B], of the task's training prompts or of the data set

  @property
  def without_tokens(self) -> "Drawn":
    """What the metrics are made of: a few numbers a response."""
    g = self.groups
    small = Groups(None, None, None, None, g.rewards, reward_parts=g.reward_parts)
    return dataclasses.replace(self, groups=small)


@dataclasses.dataclass(frozen=True)
class Batch:
  """What a step trains on, and what it cost."""

  drawn: Drawn
  rollouts: int  # responses that were sampled for it, those that were dropped included
  tied_left: int = 0  # groups of equal rewards that dynamic sampling could not replace

  @property
  def groups(self) -> Groups:
    return self.drawn.groups

  def for_metrics(self, mesh: Mesh) -> "Batch":
    """The batch without its tokens, and with the rows of all processes."""
    return dataclasses.replace(self, drawn=hosts.gather(mesh, self.drawn.without_tokens))


# --- online -------------------------------------------------------------------------------------


class Online:
  """The current policy samples K responses to each prompt of the step; the task scores them."""

  def __init__(self, parts: Parts, scorer: Scorer):
    self._config, self._task, self._scorer = parts.config, parts.task, scorer
    c, self._mesh = parts.config, parts.mesh
    sampler = parts.sampler(c.group_size, top_k=c.sampling.top_k, top_p=c.sampling.top_p)
    self._sample = compiled_sampler(parts.model, sampler, parts.mesh)

  def collect(self, step: int, params: Params) -> Batch:
    """The step's groups; those of equal rewards are replaced, sampling.refills times at most."""
    refills, draws = self._config.sampling.refills, 1
    drawn, tied = self._draw(step, 0, params), np.array([], int)
    if refills:  # dynamic sampling (DAPO: Yu et al., 2025, section 3.2)
      drawn = hosts.gather(self._mesh, drawn)  # a replacement may come from any process
      tied = np.flatnonzero(is_tied(drawn.groups.rewards))
      while len(tied) and draws <= refills:
        fresh = hosts.gather(self._mesh, self._draw(step, draws, params))
        untied = np.flatnonzero(~is_tied(fresh.groups.rewards))[: len(tied)]
        drawn = jax.tree.map(lambda x, y: _with_rows(x, tied, y[untied]), drawn, fresh)  # noqa: B023
        tied, draws = tied[len(untied) :], draws + 1
      drawn = hosts.mine(self._mesh, drawn)
    responses = self._config.batch_prompts * self._config.group_size
    return Batch(drawn, draws * responses, tied_left=len(tied))

  def _draw(self, step: int, refill: int, params: Params) -> Drawn:
    config, task = self._config, self._task
    # Refills take the prompts of steps that will never come.
    turn = step + refill * config.steps
    rows = prompt_order(config.seed, turn, config.batch_prompts, len(task.train))
    rows = hosts.mine(self._mesh, rows)
    prompts, prompt_mask = (array[rows] for array in task.train_prompts)
    key = key_for("sampling", config.seed, turn)
    read = hosts.to_global(self._mesh, (prompts, prompt_mask))
    samples = hosts.to_local(self._sample(params, *read, key, config.sampling.temperature))
    items = [task.train[row] for row in rows]
    parts = task.reward_parts(items, samples.responses, samples.finished)
    groups = Groups(
      prompts,
      prompt_mask,
      samples.responses,
      samples.mask,
      task.reward.total(parts),
      old_logps=samples.logps,
      reward_parts=parts,
    )
    scored, lengths = self._scorer(groups, samples.finished), samples.mask.sum(axis=-1)
    prompt_lengths = prompt_mask.sum(axis=-1)
    return Drawn(scored, groups.rewards, samples.finished, lengths, prompt_lengths, rows)

  def seconds(self, steps: int) -> float:
    """Sampling is a part of every step."""
    del steps
    return 0.0


def is_tied(rewards: np.ndarray) -> np.ndarray:
  """bool [B]: no two scored responses of the group differ. (A std of equal floats may not be 0.)"""
  return ~(np.nan_to_num(rewards, nan=-np.inf).max(1) > np.nan_to_num(rewards, nan=np.inf).min(1))


def _with_rows(x: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
  """x with the first of these rows replaced by the new ones."""
  x = x.copy()
  x[rows[: len(new)]] = new
  return x


@cache
def compiled_sampler(model: ModelConfig, sampler: Sampler, mesh: Mesh) -> Shared:
  """(params, prompts, prompt_mask, key, temperature) -> Samples, jitted, prompts sharded."""

  def run(params, prompts, prompt_mask, key, temperature):
    return sample(model, params, prompts, prompt_mask, key, sampler, temperature)

  rows, everywhere = batch_sharding(mesh), replicated(mesh)
  shardings = (None, rows, rows, everywhere, everywhere)
  return shared_on(mesh, run, shardings, rows, _decoding_options(mesh))


def _decoding_options(mesh: Mesh) -> dict[str, str]:
  """On a CPU, one operation at a time, each by all cores.

  A token's operations are small, and two at once wait for each other's threads: 5 to 8 % slower, in
  half as much memory again. An update's are large, and faster at once.
  """
  is_cpu = mesh.devices.flat[0].platform == "cpu"
  return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if is_cpu else {}


def key_for(purpose: str, seed: int, step: int) -> jax.Array:
  """The random key of one purpose at one step: a resumed run draws what it would have drawn."""
  key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
  return jax.random.fold_in(key, step)


def prompt_order(seed: int, step: int, batch: int, n: int) -> np.ndarray:
  """The rows, of n, that step `step` trains on: each epoch a new permutation, nothing left out."""
  positions = range(step * batch, (step + 1) * batch)
  return np.array([_permutation(seed, p // n, n)[p % n] for p in positions])


def rows_of_run(config: ConfigDict, mesh: Mesh, n: int) -> np.ndarray:
  """The rows, of n, that this process trains on in the whole run."""
  batch = config.batch_prompts
  orders = (prompt_order(config.seed, step, batch, n) for step in range(config.steps))
  return np.unique(np.concatenate([hosts.mine(mesh, order) for order in orders]))


@cache
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(n)


# --- offline ------------------------------------------------------------------------------------


class Offline:
  """A fixed data set of scored groups, in epochs, with the log-probs of its behaviour policy."""

  def __init__(
    self,
    parts: Parts,
    scorer: Scorer,
    rows: group_dataset.StoredGroups,
    prompts: Sequence[Sequence[int]],
    seconds: float,
    log_probs: Callable[[Params, Groups], np.ndarray] | None = None,
  ):
    """A data set with these prompts' tokens.

    Args:
      seconds: what it took to sample and score it.
      log_probs: (the policy's parameters, groups) -> those of the behaviour policy, for the groups
        that the rows are not `known` of.
    """
    self._config, self._scorer, self._mesh = parts.config, scorer, parts.mesh
    self._rows, self._seconds, self._log_probs = rows, seconds, log_probs
    longest = max(parts.task.max_prompt_tokens, *map(len, prompts))
    self._prompts = left_pad(prompts, longest, parts.task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    """Each response of the data set counts as a rollout when it is first used."""
    n = self._count
    chosen = prompt_order(self._config.seed, step, self._config.batch_prompts, n)
    chosen = hosts.mine(self._mesh, chosen)
    prompts, prompt_mask = (array[chosen] for array in self._prompts)
    rows = self._rows.take(chosen)
    groups = Groups(
      prompts,
      prompt_mask,
      rows["responses"],
      rows["mask"],
      rows["rewards"],
      old_logps=rows["logps"],
    )
    if self._log_probs is not None:
      computed, known = self._log_probs(params, groups), rows["known"][:, None, None]
      groups = dataclasses.replace(groups, old_logps=np.where(known, rows["logps"], computed))
    scored = self._scorer(groups, rows["finished"])
    rollouts = (self._used(step + 1) - self._used(step)) * self._config.group_size
    lengths, prompt_lengths = rows["mask"].sum(axis=-1), prompt_mask.sum(axis=-1)
    drawn = Drawn(scored, rows["rewards"], rows["finished"], lengths, prompt_lengths, chosen)
    return Batch(drawn, rollouts)

  def seconds(self, steps: int) -> float:
    """What it took to collect the groups used so far."""
    return self._seconds * self._used(steps) / self._count

  def _used(self, steps: int) -> int:
    return min(steps * self._config.batch_prompts, self._count)

  @property
  def _count(self) -> int:
    return len(self._prompts[0])


# --- demonstrations -----------------------------------------------------------------------------


class Demonstrations:
  """The task's own answers, as groups of one response with reward 1."""

  def __init__(self, parts: Parts):
    self._config, self._task, self._mesh = parts.config, parts.task, parts.mesh
    task = parts.task
    encode, eos = task.tokenizer.encode, [task.tokenizer.eos_id]
    answers = [encode(item.answer) + eos for item in task.train]
    self._responses = right_pad(answers, task.max_answer_tokens, task.tokenizer.pad_id)

  def collect(self, step: int, params: Params) -> Batch:
    """They were written, not sampled: no rollouts."""
    del params
    batch = self._config.batch_prompts
    rows = prompt_order(self._config.seed, step, batch, len(self._task.train))
    rows = hosts.mine(self._mesh, rows)
    prompts, prompt_mask = (array[rows] for array in self._task.train_prompts)
    responses, mask = (array[rows][:, None] for array in self._responses)
    ones = np.ones((len(rows), 1), np.float32)
    groups = Groups(prompts, prompt_mask, responses, mask, ones)
    lengths, prompt_lengths = mask.sum(axis=-1), prompt_mask.sum(axis=-1)
    return Batch(Drawn(groups, ones, ones > 0, lengths, prompt_lengths, rows), rollouts=0)

  def seconds(self, steps: int) -> float:
    del steps
    return 0.0


Source = Online | Offline | Demonstrations
