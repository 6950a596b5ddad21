"""Checkpoints of a run, by Orbax: the latest, and the one with the best evaluation.

With adapters a checkpoint holds them alone; the network under them is found as it was at the start.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import jax
from jax.sharding import Mesh

from models.transformer import Params
from training.errors import UserError
from training.population.membership import own_arrays
from training.records.run_folder import RunFolder
from training.state import TrainState, to_load

BEST_BY = "headline"  # the name that Orbax keeps it under; older checkpoints have another


class Checkpoints(contextlib.AbstractContextManager):
  """The checkpoints below a run's folder. Saving goes on in the background until `close`."""

  def __init__(self, folder: RunFolder):
    self._path = folder.checkpoints  # absolute: Orbax refuses relative paths

  @cached_property
  def _checkpointer(self):
    """Made when there is something to load or to save: its import alone takes 0.3 seconds."""
    from orbax.checkpoint import v1 as ocp

    keep = ocp.training.preservation_policies
    best = keep.BestN(get_metric_fn=lambda metrics: metrics.get(BEST_BY, -math.inf), n=1)
    every = ocp.training.save_decision_policies.FixedIntervalPolicy(1)  # the loop decides when
    return ocp.training.Checkpointer(
      self._path,
      # pyrefly: ignore[bad-argument-type]
      save_decision_policy=every,
      # pyrefly: ignore[bad-argument-type]
      preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(1), best]),
      cleanup_tmp_directories=True,
    )

  def __exit__(self, *_: object) -> None:
    if "_checkpointer" in vars(self):
      self._checkpointer.close()

  @property
  def latest_step(self) -> int | None:
    if not os.path.isdir(self._path):
      return None
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  def path(self, step: int) -> str:
    return f"{os.path.relpath(self._path)}/{step}"

  def save(
    self, step: int, state: TrainState, best_by: float, totals: dict[str, int | float] | None = None
  ) -> None:
    """Writes the state, and beside it the `totals` of the run so far.

    `best_by` is the value that the best checkpoint has most of (`run_folder.headline`).
    """
    saved = own_arrays(state.saved)
    self._checkpointer.save_async(
      step,
      saved,  # pyrefly: ignore[bad-argument-type]
      metrics={BEST_BY: float(best_by)},
      custom_metadata=totals,  # pyrefly: ignore[bad-argument-type]
    )

  def totals(self) -> dict[str, int | float]:
    """Those beside the latest checkpoint; {} without one, or of one from before they were kept."""
    step = self.latest_step
    if step is None:
      return {}
    with self._read(step):
      about: Any = self._checkpointer.metadata(step).custom_metadata
      return about or {}

  def restore(self, state: TrainState) -> TrainState:
    """The latest checkpoint in the place of `state`, whose arrays are then gone; else `state`."""
    step = self.latest_step
    if step is None:
      return state
    target = self._target(step, state)
    for leaf in jax.tree.leaves(state.saved):
      leaf.delete()  # what fits must fit when it resumes: never two states in memory
    return self._load(step, target, state)

  def load(self, step: int | None, state: TrainState) -> TrainState:
    """The checkpoint of this step (None: the latest), with what is at rest in `state`.

    UserError, naming those there are.
    """
    steps = [checkpoint.step for checkpoint in self._checkpointer.checkpoints]
    if not steps or (step is not None and step not in steps):
      there = ", ".join(map(str, steps)) or "none"
      raise UserError(
        f"no checkpoint {'' if step is None else step} in {os.path.relpath(self._path)}; "
        f"there: {there}"
      )
    step = steps[-1] if step is None else step
    return self._load(step, self._target(step, state), state)

  def _load(self, step: int, target: Any, state: TrainState) -> TrainState:
    with self._read(step):
      saved: Any = self._checkpointer.load(step, target)  # pyrefly: ignore[bad-argument-type]
    return state.with_saved(saved)

  @contextlib.contextmanager
  def _read(self, step: int) -> Iterator[None]:
    """UserError, with the file and what to do, where the checkpoint of this step is damaged."""
    try:
      yield
    except (jax.errors.JaxRuntimeError, MemoryError):
      raise  # of the machine, not of the files
    except Exception as error:  # Orbax and TensorStore raise what they like
      raise UserError(
        f"{self._damaged_file(step, error)} is damaged ({type(error).__name__}). To go on from "
        f"{self._before(step)}, remove the whole checkpoint: rm -r {self.path(step)}"
      ) from error

  def _damaged_file(self, step: int, error: Exception) -> str:
    """The file that the error names, or one that is empty, or else the checkpoint's folder."""
    folder = os.path.join(self._path, str(step))
    named = re.findall(rf"{re.escape(folder)}/[\w./-]+", str(error))
    files = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    empty = [file for file in files if not os.path.getsize(file)]
    return os.path.relpath([*empty, *named, folder][0])

  def _before(self, step: int) -> str:
    others = [int(name) for name in os.listdir(self._path) if name.isdigit() and name != str(step)]
    if not others:
      return "the start"
    return f"step {max(others)} (--step={max(others)} where a policy is loaded)"

  def _target(self, step: int, state: TrainState) -> dict[str, Any]:
    """Shapes and places of what is loaded. UserError if the checkpoint of this step has others."""
    target = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state.saved
    )
    self._check(step, target)
    return target

  def _check(self, step: int, target: Any) -> None:
    """Compares names and shapes first: Orbax's own message on a mismatch hides the cause."""
    with self._read(step):
      about = self._checkpointer.metadata(step).metadata
      if about is None:  # Orbax then has only warned
        raise ValueError("no metadata")
    saved = _shapes(about)
    wanted = _shapes(target)
    problems = [
      f"{name}: checkpoint {saved[name]}, this config {wanted[name]}"
      for name in sorted(saved.keys() & wanted.keys())
      if saved[name] != wanted[name]
    ]
    problems += [f"{name}: not in the checkpoint" for name in sorted(wanted.keys() - saved.keys())]
    if problems:
      lines = "\n  ".join(problems[:5])
      raise UserError(f"{self.path(step)} does not fit this config:\n  {lines}")


def loaded(
  folder: RunFolder,
  build: Callable[[Params], TrainState],
  start: Params,
  mesh: Mesh,
  step: int | None = None,
) -> TrainState:
  """The run's checkpoint of this step (None: the latest), of a state that build(start) makes.

  `start` gives its shapes, and what is at rest. UserError if there is no such checkpoint.
  """
  with Checkpoints(folder) as checkpoints:
    return checkpoints.load(step, to_load(build, start, mesh))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  name = jax.tree_util.keystr
  return {name(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
