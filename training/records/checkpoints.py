"""Checkpoints of a run, by Orbax: the latest, the one before it, and the one that evaluates best.

With adapters a checkpoint holds them alone; the network under them is found as it was at the start.
When one is written, checksums of its files are put beside them: till then it counts as one that was
never finished. They are compared before it is read.
"""

import contextlib
import math
import os
import re
import shlex
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax
from jax.sharding import Mesh

from models.transformer import Params
from training import hosts
from training.errors import UserError
from training.population.membership import own_arrays
from training.records import checksums
from training.records.checksums import SEALED
from training.records.row_digests import RowDigests
from training.records.run_folder import ROW_FILES, RunFolder
from training.state import TrainState, to_load

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BEST_BY = "headline"  # the name that Orbax keeps it under; older checkpoints have another


class Checkpoints(contextlib.AbstractContextManager):
  """The checkpoints below a run's folder. Saving goes on in the background until `close`.

  Of several processes the first writes and compares the checksums, for all.
  """

  def __init__(self, folder: RunFolder):
    self._folder = folder
    self._path = folder.checkpoints  # absolute: Orbax refuses relative paths
    self._background = ThreadPoolExecutor(1)
    self._sealing: Future[None] | None = None  # of the checkpoint that was saved last
    self._rows = RowDigests(folder.path, ROW_FILES)
    self.warnings: list[str] = []

  @cached_property
  def _checkpointer(self):
    """Made when there is something to load or to save: its import alone takes 0.3 seconds."""
    import absl.logging
    from orbax.checkpoint import v1 as ocp

    # It logs an error of its threads with a traceback, up to eight times, and then raises it.
    absl.logging.set_verbosity(absl.logging.FATAL)
    keep = ocp.training.preservation_policies
    best = keep.BestN(get_metric_fn=lambda metrics: metrics.get(BEST_BY, -math.inf), n=1)
    every = ocp.training.save_decision_policies.FixedIntervalPolicy(1)  # the loop decides when
    return ocp.training.Checkpointer(
      self._path,
      # pyrefly: ignore[bad-argument-type]
      save_decision_policy=every,
      # pyrefly: ignore[bad-argument-type]
      preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(2), best]),
      cleanup_tmp_directories=True,
    )

  def __exit__(self, *_: object) -> None:
    with uninterrupted():
      try:
        self._until_sealed()
      finally:
        self._background.shutdown()
        if "_checkpointer" in vars(self):
          self._checkpointer.close()

  @property
  def latest_step(self) -> int | None:
    return next(reversed(self._folder.checkpoint_steps), None)

  def path(self, step: int) -> str:
    return f"{os.path.relpath(self._path)}/{step}"

  def save(
    self, step: int, state: TrainState, best_by: float, totals: dict[str, int | float] | None = None
  ) -> None:
    """Writes the state, and beside it the `totals` of the run so far.

    `best_by` is the value that the best checkpoint has most of (`run_folder.headline`).
    """
    saved = own_arrays(state.saved)
    with uninterrupted():
      self._until_sealed()
      written = self._checkpointer.save_async(
        step,
        saved,  # pyrefly: ignore[bad-argument-type]
        metrics={BEST_BY: float(best_by)},
        custom_metadata={**(totals or {}), SEALED: True},
      )
      if written is not None and not self._folder.read_only:
        self._sealing = self._background.submit(self._seal, step, written, self._rows.sizes())

  def _seal(self, step: int, written: Any, sizes: dict[str, int]) -> None:
    """Puts checksums beside the files, and of the run's rows till now, once Orbax is done."""
    written.result()
    self._rows.write(self._folder.checkpoint(step), sizes)
    checksums.write(self._folder.checkpoint(step))

  def _until_sealed(self) -> None:
    sealing, self._sealing = self._sealing, None
    if sealing is not None:
      sealing.result()

  def totals(self) -> dict[str, int | float]:
    """Those beside the latest checkpoint; {} without one, or of one from before they were kept."""
    step = self.latest_step
    if step is None:
      return {}
    with self._read(step):
      about: Any = self._checkpointer.metadata(step).custom_metadata
      return {name: value for name, value in (about or {}).items() if name != SEALED}

  def changed_rows(self) -> list[str]:
    """The files whose rows up to the latest checkpoint somebody changed since; a line each.

    To be asked when the rows after it are gone.
    """
    step = self.latest_step
    if step is None or self._folder.read_only:
      return []
    paths = self._rows.differing(self._folder.checkpoint(step))
    return [f"{path}: its rows up to step {step} are not those that were written" for path in paths]

  def restore(self, state: TrainState) -> TrainState:
    """The latest checkpoint in the place of `state`, whose arrays are then gone; else `state`.

    One that was never finished, or is half deleted, is deleted first, which `warnings` then say.
    """

    def latest() -> int:
      for unfinished in self._folder.unfinished_checkpoints:
        shutil.rmtree(self._folder.checkpoint(unfinished))
        self.warnings.append(f"{self.path(unfinished)} was never finished: deleted")
      for half in self._folder.half_deleted_checkpoints:
        shutil.rmtree(self._folder.checkpoint(half))
        self.warnings.append(f"{self.path(half)} was half deleted: gone now")
      return self._checked(self.latest_step) if self._folder.checkpoint_steps else -1

    step = hosts.first_says(latest)
    if step < 0:
      return state
    target = self._target(step, state)
    for leaf in jax.tree.leaves(state.saved):
      leaf.delete()  # what fits must fit when it resumes: never two states in memory
    return self._load(step, target, state)

  def load(self, step: int | None, state: TrainState) -> TrainState:
    """The checkpoint of this step (None: the latest), with what is at rest in `state`.

    UserError, naming those there are.
    """
    step = hosts.first_says(lambda: self._checked(step))
    return self._load(step, self._target(step, state), state)

  def _checked(self, step: int | None) -> int:
    """The step (None: the latest). UserError if it has no checkpoint, or one that is damaged."""
    steps = self._folder.checkpoint_steps
    if not steps or (step is not None and step not in steps):
      there = ", ".join(map(str, steps)) or "none"
      raise UserError(
        f"no checkpoint{'' if step is None else f' {step}'} in {os.path.relpath(self._path)}; "
        f"there: {there}"
      )
    step = steps[-1] if step is None else step
    if damage := checksums.damaged_file(self._folder.checkpoint(step)):
      raise UserError(
        f"{self.path(step)}/{damage[0]} is damaged ({damage[1]}). {self._way_out(step)}"
      )
    return step

  def _load(self, step: int, target: Any, state: TrainState) -> TrainState:
    with self._read(step):
      saved: Any = self._checkpointer.load(step, target)  # pyrefly: ignore[bad-argument-type]
    return state.with_saved(saved)

  @contextlib.contextmanager
  def _read(self, step: int) -> Iterator[None]:
    """UserError, with the file and what to do, where the checkpoint of this step is damaged."""
    try:
      with uninterrupted():
        yield
    except (jax.errors.JaxRuntimeError, MemoryError):
      raise  # of the machine, not of the files
    except Exception as error:  # Orbax and TensorStore raise what they like
      if checksums.is_whole(self._folder.checkpoint(step)):
        raise
      raise UserError(
        f"{self._damaged_file(step, error)} is damaged ({type(error).__name__}). To go on without "
        f"it, remove the whole checkpoint: rm -r {shlex.quote(self.path(step))}"
      ) from error

  def _damaged_file(self, step: int, error: Exception) -> str:
    """The file that the error names, or one that is empty, or else the checkpoint's folder."""
    folder = self._folder.checkpoint(step)
    named = re.findall(rf"{re.escape(folder)}/[\w./-]+", str(error))
    files = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    empty = [file for file in files if not os.path.getsize(file)]
    return os.path.relpath([*empty, *named, folder][0])

  def _way_out(self, step: int) -> str:
    earlier = [other for other in self._folder.checkpoint_steps if other < step]
    if not earlier:
      run = os.path.relpath(self._folder.path)
      return f"No earlier one is there: to train it anew, rm -r {shlex.quote(run)}"
    return (
      f"To go on from step {earlier[-1]}, train with --from_earlier; to read that one, "
      f"--step={earlier[-1]}"
    )

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


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
  """Lets what would interrupt the block do so when it has ended.

  Orbax works in event loops. One that is interrupted raises errors of its own, as if whole files
  were damaged, and prints more of them while the process ends.
  """
  came: list[int] = []
  caught = {}
  if threading.current_thread() is threading.main_thread():  # no other is interrupted
    caught = {number: signal.getsignal(number) for number in _INTERRUPTS}
    caught = {number: handler for number, handler in caught.items() if callable(handler)}
  for number in caught:
    signal.signal(number, lambda number, frame: came.append(number))
  try:
    yield
  finally:
    for number, handler in caught.items():
      signal.signal(number, handler)
  for number in came:
    signal.raise_signal(number)
