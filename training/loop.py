"""Training, as the algorithm: collect, score, reference, update, evaluate, save."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax

from models import adapters
from models.transformer import Params
from training import hosts
from training.annotate import annotate
from training.batches import (
  batch_metrics,
  batch_warnings,
  minibatches,
  of_first_epoch,
  sampling_warnings,
)
from training.errors import Diverged
from training.group_rows import group_rows
from training.layouts import Lengths, laid_out
from training.parts import Parts
from training.population.membership import clock
from training.records.checkpoints import Checkpoints
from training.records.recorder import Recorder
from training.records.run_folder import RunFolder, headline
from training.sources.batch import Batch, Source
from training.state import TrainState, adapted, mixed, moved_mean
from training.update import compiled_update

NOT_EVALUATED = -1e30  # a checkpoint between two evaluations is never the best
SLOWEST_MEAN = 0.1  # the running mean of rewards: plain over ten steps, then this share a step

# (parameters, step) -> metrics; completions to read, a dict each; rewards by prompt, {} for none.
Evaluation = Callable[[Params, int], tuple[dict[str, float], list[dict], dict]]


def train(
  parts: Parts,
  folder: RunFolder,
  state: TrainState,
  source: Source,
  reference: Params | None,
  report: Callable[[dict[str, Any]], None],
  evaluation: Evaluation,
  rollouts_before: int = 0,
) -> dict[str, Any]:
  """Trains from `state`, or from the folder's latest checkpoint; returns the last metrics.

  `rollouts_before` counts those that the reward model cost, where one is trained on.

  Everything random is a function of the seed and the step, so a run that was stopped ends with the
  same bits as one that was not. Raises Diverged when the loss or its gradient is no longer finite.
  """
  config, update = parts.config, compiled_update(parts.update_spec)
  with (
    Checkpoints(folder) as checkpoints,
    Recorder(config, folder, report, parts.loss.words) as recorder,
  ):
    state = checkpoints.restore(state)
    first = int(state.step) // parts.updates_a_step
    if first:
      source.resume(first)
    last = recorder.resume(first if first else -1, checkpoints.totals())
    meter = Meter(config, last, source, rollouts_before)

    def evaluate(step: int) -> dict[str, float]:
      metrics, completions, by_prompt = evaluation(state.params, step)
      recorder.log_completions(completions)
      recorder.log_prompts(by_prompt)
      recorder.warn(parts.task.reward.new_faults())
      return metrics

    recorder.warn([*checkpoints.warnings, *checkpoints.changed_rows()])
    recorder.warn(sampling_warnings(config, parts.words))
    if first == 0:
      recorder.log({"step": 0} | meter.read() | evaluate(0))

    for step in range(first, config.steps):
      started = clock()
      collected = source.collect(step, state.params)  # responses, and their scores
      lengths = Lengths.of(parts, collected.groups)
      groups = hosts.to_global(parts.mesh, collected.groups)
      groups = laid_out(parts, groups, lengths, config.micro_batches)
      groups = annotate(parts, state, reference_at(state, reference), groups)
      batch = collected.for_metrics(parts.mesh)
      recorder.warn([*batch_warnings(config, batch), *parts.task.reward.new_faults()])
      updates, weights = [], []
      for minibatch in minibatches(parts, groups, lengths, step):
        state, metrics, weight = update(state, minibatch, parts.numbers)
        updates.append(metrics)
        weights.append(weight)
      metrics = means(jax.device_get(updates))
      state = after_step(parts, state, step, batch, metrics)
      stop_if_diverged(metrics, step + 1, config, checkpoints)

      meter.add(batch, clock() - started)
      row = {"step": step + 1} | meter.read()
      metrics |= batch_metrics(config, batch, parts.task.reward_names)
      row |= {f"train/{name}": float(value) for name, value in metrics.items()}
      is_last = step + 1 == config.steps
      is_evaluated = is_last or (step + 1) % config.eval.every == 0
      if step == 0 or is_evaluated:
        in_order = of_first_epoch(config, step, jax.device_get(weights))
        recorder.log_groups(group_rows(parts, source, collected, in_order, step + 1))
      if is_evaluated:
        row |= evaluate(step + 1)
      recorder.log(row)
      if is_last or (step + 1) % config.checkpoint.every == 0:
        source.keep(step + 1)
        score = headline(row)
        best_by = NOT_EVALUATED if score is None else score
        checkpoints.save(step + 1, state, best_by, totals=meter.totals)
  return recorder.latest


def reference_at(state: TrainState, base: Params | None) -> Params | None:
  """The reference of a step: the one that moves, or the base policy (under adapters, if any)."""
  resting = adapters.reference_of(state.params, base)
  return resting if state.reference is None else state.reference


def after_step(
  parts: Parts, state: TrainState, step: int, batch: Batch, metrics: dict[str, float]
) -> TrainState:
  """Moves what moves once a step, however many updates it had: running reward, beta, reference."""
  config = parts.config
  if "reward_baseline" in parts.loss.words:
    weight = max(1 / (step + 1), SLOWEST_MEAN)
    mean = moved_mean(state.reward_mean, batch.groups.rewards, weight)
    state = dataclasses.replace(state, reward_mean=mean)
  if state.beta is not None:
    beta = adapted(state.beta, metrics["kl"], float(config.reference.target_kl))
    state = dataclasses.replace(state, beta=beta)
  if state.reference is not None and (step + 1) % config.reference.every == 0:
    moved = mixed(state.reference, state.params, config.reference.mix)
    state = dataclasses.replace(state, reference=moved)
  return state


def means(updates: list[dict[str, Any]]) -> dict[str, float]:
  """The metrics of a step: their means over its updates, of as many groups each.

  A mean over tokens or pairs is thereby a mean of means, where minibatches have unequally many.
  """
  return {name: sum(float(m[name]) for m in updates) / len(updates) for name in updates[0]}


def stop_if_diverged(
  metrics: dict[str, float], step: int, config, checkpoints: Checkpoints
) -> None:
  """Raises Diverged, with what to try, when the step's loss or gradient is not finite."""
  bad = [name for name in ("loss", "grad_norm") if not math.isfinite(metrics[name])]
  if bad:
    last = checkpoints.latest_step
    raise Diverged(
      f"train/{bad[0]} is {metrics[bad[0]]} at step {step}. "
      f"Last finite checkpoint: {'none' if last is None else checkpoints.path(last)}. "
      f"Lower optimizer.learning_rate (now {config.optimizer.learning_rate:g}) "
      f"or optimizer.max_grad_norm (now {config.optimizer.max_grad_norm:g})."
    )


class Meter:
  """The cost of a run over all resumptions: rollouts, tokens trained on, seconds of training.

  Evaluation and compilation are no training; collecting is, also when it was done before.
  """

  def __init__(self, config, last_row: dict[str, Any], source: Source, rollouts_before: int):
    self._passes = config.inner_epochs
    self._training = last_row.get("train/seconds", 0.0)
    self._tokens = last_row.get("tokens", 0)
    self._rollouts = last_row.get("rollouts", rollouts_before)
    self._source = source
    self._steps = last_row.get("step", 0)
    self._speed: dict[str, float] = {}

  def add(self, batch: Batch, seconds: float) -> None:
    """Counts one step, which took so many seconds without compilation."""
    scored = batch.scored
    tokens = int(scored.lengths.sum() + scored.prompt_lengths.sum()) * self._passes
    self._training += seconds
    self._tokens += tokens
    self._rollouts += batch.rollouts
    self._steps += 1
    speed = {"train/step_time": seconds, "perf/tokens_per_second": tokens / seconds}
    self._speed = speed | {"train/seconds": self._training}

  @property
  def totals(self) -> dict[str, int | float]:
    """Those that a resumed run goes on from, by the names of their metrics."""
    counted = {"step": self._steps, "rollouts": self._rollouts, "tokens": self._tokens}
    return counted | {"train/seconds": self._training}

  def read(self) -> dict[str, int | float]:
    seconds = self._training + self._source.seconds(self._steps)
    totals = {"rollouts": self._rollouts, "seconds": seconds, "tokens": self._tokens}
    return totals | self._speed
