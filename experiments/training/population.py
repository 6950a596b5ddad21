"""Runs that share their shapes, trained as one program.

Each member of a population is a single run: its code runs as it always does, in a thread of its
own, one thread at a time. Only where it calls a compiled function (`Shared`) does it wait for the
others. When all have come, their arguments are stacked along a new first axis, the members; the
function runs once, vmapped, and everyone goes on with his part of what came out. So whatever a
single run can do a member can, and writes: nothing is written twice.

The parameters stay stacked between calls (`Part`). With several devices the members' axis is split
over them. A member that diverged, or is done, keeps its place, where the others' calls compute
nothing that anybody reads; what it had is not touched.
"""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.training.compilation import working_seconds

T = TypeVar("T")
MEMBERS = "members"  # the axis
_here = threading.local()  # .member: whose thread this is; absent in a run alone


# --- what a run's code calls, alone or in a population -------------------------------------------


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
      split = jax.shard_map(members, mesh=mesh, in_specs=specs, out_specs=P(MEMBERS))
      first = treedef.children()[0].num_leaves
      donated = tuple(i for i in range(first) if axes[i] == 0) if donate else ()
      run = split if mesh.size > 1 else members
      self._compiled[key] = jax.jit(run, donate_argnums=donated)
    return self._compiled[key]


def shared(function: Callable) -> Shared:
  """A decorator: the function jitted, and shared."""
  return Shared(jax.jit(function), function)


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
  before, _here.member = member, None
  try:
    yield
  finally:
    _here.member = before


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
  common = member.population.common
  if key not in common:
    common[key] = build()
  return common[key]


def own_arrays(tree: Any) -> Any:
  """The tree with arrays of its own in the place of parts of a population's."""
  device = jax.devices()[0]

  def own(x: Any) -> Any:
    return jax.device_put(x.stack[x.index], device) if isinstance(x, Part) else x

  return jax.tree.map(own, tree)


def _member() -> "Member | None":
  return getattr(_here, "member", None)


# --- arrays of the members ------------------------------------------------------------------------


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


def _is_common(leaves: Sequence[Any]) -> bool:
  """Whether the members have one and the same: an array, or a plain number."""
  first = leaves[0]
  if hasattr(first, "shape"):
    return not isinstance(first, Part) and all(leaf is first for leaf in leaves)
  return all(leaf == first for leaf in leaves)


def _stacked(leaves: dict[int, Any], n: int) -> Any:
  """An array of n members from those that are here; the places of the others hold anything."""
  first = next(iter(leaves.values()))
  if all(
    isinstance(x, Part) and x.stack is first.stack and x.index == i for i, x in leaves.items()
  ):
    return first.stack
  rows = [leaves.get(i, first) for i in range(n)]
  if not hasattr(first, "shape"):  # plain numbers are 32 bits wide to jax
    return np.asarray(rows, np.float32 if isinstance(first, float) else np.int32)
  if isinstance(first, np.ndarray):
    return np.stack(rows)
  return jnp.stack([x.stack[x.index] if isinstance(x, Part) else x for x in rows])


# --- the population -------------------------------------------------------------------------------


class Member:
  """One run, in a thread that works only between `resume` and its next call, or its end."""

  def __init__(self, population: "Population", run: Callable[[], None]):
    self.population, self._run = population, run
    self.call: Call | None = None
    self.has_ended = self._works = False
    self._results: queue.SimpleQueue = queue.SimpleQueue()
    self._paused: queue.SimpleQueue = queue.SimpleQueue()
    self._seconds, self._since = 0.0, 0.0
    self._thread = threading.Thread(target=self._work, daemon=True)

  def start(self) -> None:
    self._thread.start()
    self.resume(None)

  def resume(self, result: Any, shared_seconds: float = 0.0) -> None:
    """Goes on with `result` (raised, if it is an exception) up to the next call, or the end."""
    self._seconds += shared_seconds
    self.call, self._works = None, True
    self._results.put(result)
    self._pause()

  def interrupt(self) -> None:
    """Raises KeyboardInterrupt in it, once it has come to its next call; returns when it ended."""
    if self._works:
      self._pause()
    while self.call and not self.has_ended:
      self.resume(KeyboardInterrupt())

  def _pause(self) -> None:
    """Waits until it does."""
    self._paused.get()
    self._works = False

  def meet(self, call: Call) -> Any:
    """In the member's thread: waits until the call was made."""
    self._seconds = self.seconds()
    self.call = call
    self._paused.put(None)
    result = self._results.get()
    self._since = working_seconds()
    if isinstance(result, BaseException):
      raise result
    return result

  def seconds(self) -> float:
    """Work so far: its own, and its share of what was done together."""
    return self._seconds + working_seconds() - self._since

  def _work(self) -> None:
    try:
      self._results.get()
      self._since = working_seconds()
      _here.member = self
      self._run()
    finally:
      self.has_ended = True
      self._paused.put(None)


class Population:
  """Members in lock-step on the first devices of this process that divide their number."""

  def __init__(
    self, runs: Sequence[Callable[[], None]], turn: Callable[[int], None] = lambda index: None
  ):
    """`turn(i)` is called when member i, with runs[i], is about to go on."""
    self._members = [Member(self, run) for run in runs]
    self._turn = turn
    devices = next(n for n in range(len(jax.devices()), 0, -1) if len(runs) % n == 0)
    self._mesh = Mesh(np.array(jax.devices()[:devices]), (MEMBERS,))
    self.members_a_device = len(runs) // devices
    self._kinds: dict[Hashable, int] = {}  # in the order in which they were first called
    self._everywhere: dict[int, tuple[Any, Any]] = {}  # id of a common array -> it, and its copies
    self.common: dict[Hashable, Any] = {}

  def train(self) -> None:
    """Runs all members to their ends. A KeyboardInterrupt is passed on to every one of them."""
    try:
      for index, member in enumerate(self._members):
        self._turn(index)
        member.start()
      while waiting := self._waiting():
        calls = self._next(waiting)
        began = working_seconds()
        results = self._make(calls)
        share = (working_seconds() - began) / len(calls)
        for index, result in results.items():
          self._turn(index)
          self._members[index].resume(result, share)
    except KeyboardInterrupt:
      for member in self._members:
        member.interrupt()
      raise

  def _waiting(self) -> dict[int, Call]:
    return {i: m.call for i, m in enumerate(self._members) if m.call and not m.has_ended}

  def _next(self, waiting: dict[int, Call]) -> dict[int, Call]:
    """Calls of one kind: of those that wait the kind that comes first in a step.

    A member that samples once more, say, is thereby waited for, and all update together again.
    """
    kinds = {i: call.kind for i, call in waiting.items()}
    for kind in kinds.values():
      self._kinds.setdefault(kind, len(self._kinds))
    chosen = min(kinds.values(), key=self._kinds.__getitem__)
    return {i: call for i, call in waiting.items() if kinds[i] == chosen}

  def _make(self, calls: dict[int, Call]) -> dict[int, Any]:
    """The result of each call; an exception is everyone's."""
    n, first = len(self._members), next(iter(calls.values()))
    rows = [call.leaves for call in calls.values()]
    columns = [dict(zip(calls, leaves, strict=True)) for leaves in zip(*rows, strict=True)]
    is_common = [_is_common(list(column.values())) for column in columns]
    axes = tuple(None if common else 0 for common in is_common)
    leaves = [
      self._spread(next(iter(column.values()))) if common else self._split(_stacked(column, n))
      for column, common in zip(columns, is_common, strict=True)
    ]
    everyone = len(calls) == sum(not member.has_ended for member in self._members)
    donate = first.shared.donates and everyone
    run = first.shared.together(first.treedef, axes, self._mesh, n, donate)
    try:
      stacks = jax.block_until_ready(run(*leaves))
    except Exception as error:  # out of memory, say
      return dict.fromkeys(calls, error)
    return {i: jax.tree.map(lambda stack: Part(stack, i), stacks) for i in calls}  # noqa: B023

  def _split(self, stack: Any) -> Any:
    """The members' axis over the devices."""
    return jax.device_put(stack, NamedSharding(self._mesh, P(MEMBERS)))

  def _spread(self, leaf: Any) -> Any:
    """What is common, on every device; an array is copied there once."""
    if self._mesh.size == 1 or not isinstance(leaf, jax.Array):
      return leaf
    if id(leaf) not in self._everywhere:
      self._everywhere[id(leaf)] = leaf, jax.device_put(leaf, NamedSharding(self._mesh, P()))
    return self._everywhere[id(leaf)][1]
