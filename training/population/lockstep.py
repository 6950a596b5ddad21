"""Runs that share their shapes, trained as one program.

Each member of a population is a single run: its code runs as it always does, in a thread of its
own, one thread at a time. Only where it calls a compiled function does it wait for the others. So
whatever a single run can do a member can, and writes: nothing is written twice.

One call, from a run's code through the population and back:

1. The run's code calls a function, as `loop.py` calls the update. The function is a `Shared`, finds
   itself in a member's thread, and gives `Member.meet` the arguments as a `Call`.
2. `meet` leaves the call where the population sees it and waits; that ends `Member.resume`, in
   which the population's own thread has waited for it. So the next member is resumed.
3. When all have come, `Population.train` chooses those calls to make together (`_next`).
4. `_make` stacks their arguments along a new first axis, the members; `Shared.for_members` is
   called on them, the function vmapped, and everyone's result is a `Slice` of what came out.
5. `resume` hands it to the member: `meet` returns it, and so does the call in the run's code.

The parameters stay stacked between calls (`Slice`). With several devices the members' axis is split
over them. A member that diverged, or is done, keeps its place, where the others' calls compute
nothing that anybody reads; what it had is not touched. What is stacked depends neither on who comes
nor on what is equal by chance: members that resume at different steps, beside places of others that
are done, compute what they would have computed together, to the bit. Only what fails a call, such
as too little memory, fails all that make it: whoever started them can go on with fewer at a time.
"""

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from training.compilation import working_seconds
from training.population.membership import Slice, here, own_arrays
from training.population.shared import MEMBERS, Call


class Member:
  """One run, in a thread that works only between `resume` and its next call, or its end."""

  def __init__(self, population: "Population", run: Callable[[], None]):
    self.population, self._run = population, run
    self.call: Call | None = None
    self.has_ended = False
    self._changed = threading.Condition()  # of the next two
    self._waits = False  # for a result
    self._results: list[Any] = []  # one at most
    self._seconds, self._since = 0.0, 0.0
    self._thread = threading.Thread(target=self._work, daemon=True)

  def start(self) -> None:
    self._thread.start()
    self.resume(None)

  def resume(self, result: Any, shared_seconds: float = 0.0) -> None:
    """Goes on with `result` (raised, if it is an exception) up to the next call, or the end."""
    self._seconds += shared_seconds
    with self._changed:
      self._results.append(result)
      self._changed.notify_all()
    self._until_it_waits()

  def interrupt(self) -> None:
    """Raises KeyboardInterrupt in it, once it has come to its next call; returns when it ended."""
    if self._thread.ident is None:
      return  # not started
    self._until_it_waits()
    while not self.has_ended:
      self.resume(KeyboardInterrupt())

  def _until_it_waits(self) -> None:
    """In short waits: the interrupts that a worker gives itself do not end a long one."""
    with self._changed:
      while not self.has_ended and (self._results or not self._waits):
        self._changed.wait(0.2)

  def meet(self, call: Call) -> Any:
    """In the member's thread: waits until the call was made."""
    self._seconds, self.call = self.seconds(), call
    result = self._wait()
    self._since, self.call = working_seconds(), None
    if isinstance(result, BaseException):
      raise result
    return result

  def seconds(self) -> float:
    """Work so far: its own, and its share of what was done together."""
    return self._seconds + working_seconds() - self._since

  def _work(self) -> None:
    try:
      result = self._wait()
      self._since = working_seconds()
      here.member = self
      if result is None:  # not interrupted before it began
        self._run()
    finally:
      with self._changed:
        self.has_ended = True
        self._changed.notify_all()

  def _wait(self) -> Any:
    with self._changed:
      self._waits = True
      self._changed.notify_all()
      while not self._results:
        self._changed.wait()
      self._waits = False
      return self._results.pop()


class Population:
  """Members in lock-step, split over the devices of this process."""

  def __init__(
    self, runs: Sequence[Callable[[], None]], turn: Callable[[int], None] = lambda index: None
  ):
    """`turn(i)` is called when member i, with runs[i], is about to go on."""
    self._members = [Member(self, run) for run in runs]
    self._turn = turn
    devices = jax.devices()[: len(runs)]
    self._mesh = Mesh(np.array(devices), (MEMBERS,))
    self.members_a_device = math.ceil(len(runs) / len(devices))
    self._places = self.members_a_device * len(devices)  # those beyond the members hold anything
    self._kinds: dict[Hashable, int] = {}  # in the order in which they were first called
    self._everywhere: dict[int, tuple[Any, Any]] = {}  # id of a common array -> it, and its copies
    self._built: dict[Hashable, Any] = {}
    self._common: set[int] = set()  # ids of the arrays in it

  def train(self) -> None:
    """Runs all members to their ends; one that raises ends alone. What interrupts this ends all."""
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
    except BaseException:
      for member in self._members:
        member.interrupt()
      raise

  def once(self, key: Hashable, build: Callable[[], Any]) -> Any:
    """build(), or what it returned to the first member that came; its arrays are common ones."""
    if key not in self._built:
      self._built[key] = build()
      self._common |= {id(leaf) for leaf in jax.tree.leaves(self._built[key])}
    return self._built[key]

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
    first = next(iter(calls.values()))
    rows = [call.leaves for call in calls.values()]
    columns = [dict(zip(calls, leaves, strict=True)) for leaves in zip(*rows, strict=True)]
    is_common = [self._is_common(list(column.values())) for column in columns]
    axes = tuple(None if common else 0 for common in is_common)
    everyone = len(calls) == sum(not member.has_ended for member in self._members)
    donate = first.shared.donates and everyone
    run = first.shared.for_members(first.treedef, axes, self._mesh, self._places, donate)
    try:
      leaves = [
        self._spread(next(iter(x.values()))) if common else self._split(_stacked(x, self._places))
        for x, common in zip(columns, is_common, strict=True)
      ]
      stacks = jax.block_until_ready(run(*leaves))
    except Exception as error:  # out of memory, say
      return dict.fromkeys(calls, error)
    return {i: jax.tree.map(lambda stack: Slice(stack, i), stacks) for i in calls}  # noqa: B023

  def _is_common(self, leaves: Sequence[Any]) -> bool:
    """Whether all have one and the same array, which one of them built for all."""
    first = leaves[0]
    return id(first) in self._common and all(leaf is first for leaf in leaves)

  def _split(self, stack: Any) -> Any:
    """The members' axis over the devices."""
    return jax.device_put(stack, NamedSharding(self._mesh, P(MEMBERS)))

  def _spread(self, leaf: Any) -> Any:
    """A common array on every device, copied there once."""
    if self._mesh.size == 1:
      return leaf
    if id(leaf) not in self._everywhere:
      self._everywhere[id(leaf)] = leaf, jax.device_put(leaf, NamedSharding(self._mesh, P()))
    return self._everywhere[id(leaf)][1]


def _stacked(leaves: dict[int, Any], n: int) -> Any:
  """An array of n members from those that are here; the places of the others hold anything."""
  first = next(iter(leaves.values()))
  if all(isinstance(leaf, Slice) and leaf.is_of(first.stack, i) for i, leaf in leaves.items()):
    return first.stack  # as the last call left it
  rows = [leaves.get(i, first) for i in range(n)]
  if not hasattr(first, "shape"):  # plain numbers are 32 bits wide to jax
    return np.asarray(rows, {float: np.float32, bool: np.bool_}.get(type(first), np.int32))
  if isinstance(first, np.ndarray):
    return np.stack(rows)
  return jnp.stack(own_arrays(rows))
