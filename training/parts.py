"""The things a run is made of, as data: `build.py` makes them from a config."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from models.sampler import Sampler
from models.transformer import ModelConfig
from tasks.task import Task
from training.optimizer import Optimizer, Schedule
from training.update import UpdateSpec


@dataclasses.dataclass(frozen=True)
class Loss:
  """A loss and what it asks for.

  Attributes:
    words: the arrays that it needs, by their names in the vocabulary (`algorithms/shapes.py`).
    numbers: its hyperparameters that are numbers: arguments of the compiled update.
    options: the others, texts and switches, which are constants of it.
  """

  function: Callable
  words: frozenset[str]
  numbers: dict[str, float]
  options: tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class Correction:
  """A weight on the gradient, and its numbers: arguments of the compiled update.

  Attributes:
    function: an `algorithms.mismatch.Correction`.
    anchor: "recomputed" or "sampler", as there.
    numbers: those of each of its parts, by name.
  """

  function: Callable
  anchor: str
  numbers: tuple[dict[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Parts:
  """A config and what it stands for."""

  config: ConfigDict
  task: Task
  model: ModelConfig
  mesh: Mesh
  loss: Loss
  optimizer: Optimizer
  schedule: Schedule
  correction: Correction | None = None

  @property
  def words(self) -> frozenset[str]:
    """The arrays of a batch that the loss, or the correction, needs."""
    corrects = {"old_logps", "sampler_logps"} if self.correction else set()
    return self.loss.words | corrects

  @property
  def recomputes(self) -> bool:
    """Whether old_logps are the trainer's own, computed once a batch, beside the sampler's."""
    if self.correction:
      return self.correction.anchor == "recomputed"
    return "sampler_logps" in self.loss.words

  @property
  def updates_a_step(self) -> int:
    """Inner steps on one batch: `inner_epochs` passes over its minibatches."""
    return self.config.inner_epochs * self.config.minibatches

  @property
  def update_spec(self) -> UpdateSpec:
    """Everything that the compiled update depends on."""
    return UpdateSpec(
      model=self.model,
      mesh=self.mesh,
      loss=self.loss.function,
      options=self.loss.options,
      optimizer=self.optimizer,
      schedule=self.schedule,
      micro_batches=self.config.micro_batches,
      correction=self.correction.function if self.correction else None,
    )

  @cached_property
  def numbers(self) -> dict[str, Any]:
    """Every number of the config that the compiled update takes as an argument."""
    config, updates = self.config, self.updates_a_step
    optimizer = config.optimizer.to_dict().items()
    optimizer = {k: float(v) for k, v in optimizer if k not in ("name", "schedule")}
    optimizer["warmup_steps"] *= updates  # the schedule counts updates, the config steps
    numbers = {
      "algorithm": self.loss.numbers,
      "optimizer": optimizer | {"steps": float(config.steps * updates)},
      "temperature": float(config.sampling.temperature),
    }
    return numbers | ({"correction": self.correction.numbers} if self.correction else {})

  def sampler(self, group_size: int, **options: Any) -> Sampler:
    """How to decode this task's responses; `options` are the Sampler's other fields."""
    return Sampler(
      max_tokens=self.config.sampling.max_tokens,
      eos_ids=self.task.tokenizer.eos_ids,
      pad_id=self.task.tokenizer.pad_id,
      group_size=group_size,
      prompts_at_once=self.config.sampling.prompts_at_once,
      **options,
    )
