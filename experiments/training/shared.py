"""What a run's code calls, by itself or as a member of a population (`population.py`).

A compiled function is `Shared`: a run alone calls it as it is; a member waits there until the
others have come, and all are served by one call. Nothing else in a run's code knows the difference.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Generator, Hashable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from experiments.training.compilation import working_seconds
from models.partitioning import on_mesh

T = TypeVar("T")
MEMBERS = "members"  # the axis of a population's arrays
here = threading.local()  # .member: whose thread this is; None, or absent, in a run alone


class Shared:
  """A compiled function that a population calls once for all its members.

  `alone` is the function jitted for a single run, `function` the pure function itself. With
  `donates` the first argument's buffers are used for the result, in both.
  """

  def __init__(self, alone: Callable, function: Callable, *, donates: bool = False):
    self.alone, self.function, self.donates = alone, function, donates
    self._compiled: dict[Hashable, Callable] = {}

  def __call__(self, *args: Any) -> Any:
    member = _member()
    return member.meet(Call.of(self, args)) if member else self.alone(*args)

  def together(self, treedef, axes: tuple[int | None, ...], mesh: Mesh, n: int, donate: bool):
    """The function for n members, on the leaves of its arguments: stacked (axis 0), or common."""
    key = (treedef, axes, mesh, n, donate)
    if key not in self._compiled:
      leaves_here = n // mesh.size

      def one(*leaves):
        return self.function(*treedef.unflatten(leaves))

      def members(*leaves):
        return jax.vmap(one, in_axes=axes, axis_size=leaves_here)(*leaves)

      specs = tuple(P(MEMBERS) if axis == 0 else P() for axis in axes)
      split = jax.shard_map(
        members, mesh=mesh, in_specs=specs, out_specs=P(MEMBERS), check_vma=False
      )
      first = treedef.children()[0].num_leaves
      donated = tuple(i for i in range(first) if axes[i] == 0) if donate else ()
      run = split if mesh.size > 1 else members
      self._compiled[key] = jax.jit(run, donate_argnums=donated)
    return self._compiled[key]


def shared(function: Callable) -> Shared:
  """A decorator: the function jitted, and shared."""
  return Shared(jax.jit(function), function)


def shared_on(mesh: Mesh, function: Callable, in_shardings: Any, out_shardings: Any) -> Shared:
  """The function jitted on the mesh of a run, with these shardings there, and shared."""
  alone = jax.jit(on_mesh(mesh, function), in_shardings=in_shardings, out_shardings=out_shardings)
  return Shared(alone, function)


def clock() -> float:
  """Seconds of work on this run, compilation left out: a clock to take differences of.

  Of what members do together each has its share, so that their times add up to the population's.
  """
  member = _member()
  return member.seconds() if member else working_seconds()


@contextlib.contextmanager
def alone() -> Generator[None]:
  """Within it a member computes by itself: for what the first to come makes for all."""
  member = _member()
  before, here.member = member, None
  try:
    yield
  finally:
    here.member = before


def members_a_device() -> int:
  """How many runs a device has to hold at a time."""
  member = _member()
  return member.population.members_a_device if member else 1


def once(key: Hashable, build: Callable[[], T]) -> T:
  """build(), or in a population what the first member to ask for `key` built: the same object.

  What all members hold alike is then computed with as one array, not stacked.
  """
  member = _member()
  if member is None:
    return build()
  built = member.population.built_once
  if key not in built:
    built[key] = build()
  return built[key]


def own_arrays(tree: Any) -> Any:
  """The tree with arrays of its own in the place of parts of a population's."""
  device = jax.devices()[0]

  def own(x: Any) -> Any:
    return jax.device_put(x.stack[x.index], device) if isinstance(x, Part) else x

  return jax.tree.map(own, tree)


def _member() -> Any:
  """The member of a population that calls, or None."""
  return getattr(here, "member", None)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """One member's part of an array that holds all members'. numpy makes an array of it."""

  stack: jax.Array
  index: int

  @property
  def shape(self) -> tuple[int, ...]:
    return self.stack.shape[1:]

  @property
  def dtype(self) -> np.dtype:
    return self.stack.dtype

  def is_of(self, stack: jax.Array, index: int) -> bool:
    return self.stack is stack and self.index == index

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    del copy  # of what jax has brought to the host, once for all members
    return np.asarray(np.asarray(self.stack)[self.index], dtype)

  def __float__(self) -> float:
    return float(np.asarray(self))

  def __int__(self) -> int:
    return int(np.asarray(self))


@dataclasses.dataclass(frozen=True)
class Call:
  """A member's call of a shared function."""

  shared: Shared
  leaves: list
  treedef: Any

  @classmethod
  def of(cls, shared: Shared, args: tuple) -> "Call":
    leaves, treedef = jax.tree.flatten(args)
    return cls(shared, leaves, treedef)

  @property
  def kind(self) -> Hashable:
    """Calls of one kind can be made together."""
    return self.shared, self.treedef, tuple(map(_shape, self.leaves))


def _shape(leaf: Any) -> Hashable:
  return (*leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else type(leaf)
