"""Questions that a run's code asks of the population it is a member of (`lockstep.py`), if of any.

How long has this run worked? How many share a device? Has another member built this already? Which
slice of a common array is mine? A single run gets its own answer to each, so the code that asks is
the same.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Generator, Hashable
from typing import Any, TypeVar

import jax
import numpy as np

from training.compilation import working_seconds

T = TypeVar("T")
here = threading.local()  # .member: whose thread this is; None, or absent, in a single run


def member_here() -> Any:
  """The `lockstep.Member` whose code this thread runs; None in a single run, and `apart`."""
  return getattr(here, "member", None)


def clock() -> float:
  """Seconds of work on this run, compilation left out: a clock to take differences of.

  Of what members do together each has its share, so that their times add up to the population's.
  """
  member = member_here()
  return member.seconds() if member else working_seconds()


@contextlib.contextmanager
def apart() -> Generator[None]:
  """Within it a member computes as a single run: the first to come makes something for all."""
  member = member_here()
  here.member = None
  try:
    yield
  finally:
    here.member = member


def members_a_device() -> int:
  """How many runs a device has to hold at a time."""
  member = member_here()
  return member.population.members_a_device if member else 1


def once(key: Hashable, build: Callable[[], T]) -> T:
  """build(), or in a population the object that the first member to ask for `key` built.

  An array that all members share is then computed with as one, not stacked.
  """
  member = member_here()
  return member.population.once(key, build) if member else build()


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
  """One member's slice of an array that holds all members'. numpy makes an array of it."""

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


def own_arrays(tree: Any) -> Any:
  """The tree with arrays of its own in the place of slices of a population's."""
  device = jax.devices()[0]

  def own(x: Any) -> Any:
    return jax.device_put(x.stack[x.index], device) if isinstance(x, Slice) else x

  return jax.tree.map(own, tree)
