"""Training, as the algorithm: collect, score, reference, update, evaluate, save."""

import math
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments.errors import Diverged
from experiments.run_folder import RunFolder
from experiments.training import setup
from experiments.training.checkpoints import Checkpoints
from experiments.training.collect import Batch, Source, batch_metrics
from experiments.training.compilation import compile_seconds
from experiments.training.evaluation import completions, measure, summary
from experiments.training.recorder import Recorder
from experiments.training.reference import add_reference, wants_reference
from experiments.training.setup import Parts
from experiments.training.state import TrainState
from experiments.training.update import compiled_update, update_spec
from models.transformer import Params

COMPLETIONS_KEPT = 16
NOT_EVALUATED = -1e30  # a checkpoint between two evaluations is never the best


def train(
  parts: Parts,
  folder: RunFolder,
  state: TrainState,
  source: Source,
  reference: Params | None,
  report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
  """Trains from `state`, or from the folder's latest checkpoint; returns the last metrics.

  Everything random is a function of the seed and the step, so a run that was stopped ends with the
  same bits as one that was not. Raises Diverged when the loss or its gradient is no longer finite.
  """
  config = parts.config
  update = compiled_update(update_spec(config, parts.model, parts.mesh))
  numbers = setup.traced_numbers(config)
  needs_reference = reference is not None and wants_reference(config)
  with (
    Checkpoints(folder) as checkpoints,
    Recorder(config, folder, report) as recorder,
  ):
    state = checkpoints.restore(state)
    first = int(state.step)
    last_row = recorder.resume(first if first else -1)
    clock = Clock(last_row, source)

    def judge(step: int) -> dict[str, float]:
      measured = measure(parts, state.params, reference, step, config.eval.samples)
      recorder.log_completions(completions(parts, measured, step, COMPLETIONS_KEPT))
      return summary(measured)

    if first == 0:
      recorder.log({"step": 0} | clock.read() | {"rollouts": 0} | judge(0))

    for step in range(first, config.steps):
      started, compiled = time.perf_counter(), compile_seconds()
      batch = source.collect(step, state.params)  # responses, and their scores
      groups = batch.groups
      if needs_reference:
        groups = add_reference(parts.model, parts.mesh, reference, groups, numbers["temperature"])
      state, metrics = update(state, groups, numbers)
      metrics = {name: float(value) for name, value in jax.device_get(metrics).items()}
      stop_if_diverged(metrics, step + 1, config, checkpoints)

      clock.add(batch, time.perf_counter() - started - (compile_seconds() - compiled))
      row = {
        "step": step + 1,
        "rollouts": source.rollouts(step + 1),
      } | clock.read()
      row |= {f"train/{name}": value for name, value in (metrics | batch_metrics(batch)).items()}
      is_last = step + 1 == config.steps
      if is_last or (step + 1) % config.eval.every == 0:
        row |= judge(step + 1)
      recorder.log(row)
      if is_last or (step + 1) % config.checkpoint.every == 0:
        checkpoints.save(step + 1, state, best_by=row.get("eval/reward", NOT_EVALUATED))
  return recorder.latest


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


class Clock:
  """Seconds of training and tokens trained on, over all resumptions.

  Evaluation and compilation are no training; collecting is, also when it was done before.
  """

  def __init__(self, last_row: dict[str, Any], source: Source):
    self._training = last_row.get("train/seconds", 0.0)
    self._tokens = last_row.get("tokens", 0)
    self._source = source
    self._steps = last_row.get("step", 0)
    self._speed: dict[str, float] = {}

  def add(self, batch: Batch, seconds: float) -> None:
    """One step, and what it took without compilation."""
    tokens = int(batch.groups.mask.sum() + batch.groups.prompt_mask.sum())
    self._training += seconds
    self._tokens += tokens
    self._steps += 1
    speed = {"train/step_time": seconds, "perf/tokens_per_second": tokens / seconds}
    self._speed = speed | {"train/seconds": self._training}

  def read(self) -> dict[str, float]:
    seconds = self._training + self._source.seconds(self._steps)
    return {"seconds": seconds, "tokens": self._tokens} | self._speed
