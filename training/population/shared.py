"""Compiled functions that a population calls once for all its members (`lockstep.py`).

A single run calls a `Shared` as any jitted function. A member of a population waits in it until the
others have come, and all are served by one call, vmapped over them. The code that calls is the same
and knows no difference.
"""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from models.partitioning import on_mesh
from training.population.membership import member_here

MEMBERS = "members"  # the axis of a population's arrays


class Shared:
  """A compiled function that a population calls once for all its members.

  `for_a_single_run` is the function jitted, `function` the pure function itself, of which
  `for_members` makes what is called for all. With `donates` the first argument's buffers are used
  for the result, in both. `compiler_options` are those that the first was jitted with.
  """

  def __init__(
    self,
    for_a_single_run: Callable,
    function: Callable,
    *,
    donates: bool = False,
    compiler_options: dict[str, Any] | None = None,
  ):
    self.for_a_single_run, self.function, self.donates = for_a_single_run, function, donates
    self._compiler_options = compiler_options
    self._for_members: dict[Hashable, Callable] = {}

  def __call__(self, *args: Any) -> Any:
    member = member_here()
    return member.meet(Call.of(self, args)) if member else self.for_a_single_run(*args)

  def for_members(self, treedef, axes: tuple[int | None, ...], mesh: Mesh, n: int, donate: bool):
    """The function for n members, on the leaves of its arguments: stacked (axis 0), or common."""
    key = (treedef, axes, mesh, n, donate)
    if key not in self._for_members:
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
      self._for_members[key] = jax.jit(
        run, donate_argnums=donated, compiler_options=self._compiler_options
      )
    return self._for_members[key]


def shared(function: Callable) -> Shared:
  """A decorator: the function jitted, and shared."""
  return Shared(jax.jit(function), function)


def shared_on(
  mesh: Mesh,
  function: Callable,
  in_shardings: Any,
  out_shardings: Any,
  compiler_options: dict[str, Any] | None = None,
) -> Shared:
  """The function jitted on the mesh of a single run, with these shardings there, and shared."""
  jitted = jax.jit(
    on_mesh(mesh, function),
    in_shardings=in_shardings,
    out_shardings=out_shardings,
    compiler_options=compiler_options,
  )
  return Shared(jitted, function, compiler_options=compiler_options)


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
