"""Several processes that train one run together, as on a TPU pod or a cluster of GPU machines.

All of them run the same program on one mesh. Each holds, on its host, the rows (prompts) of a
batch that its own devices hold: it reads, samples and scores those. What the loop decides from
(rewards, lengths) is gathered first, so that all decide alike and the numbers are those of a single
process. The first process writes the run's files; checkpoints are written by all.

With one process everything here hands back what it was given.
"""

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from models.partitioning import batch_sharding, replicated
from training.errors import UserError


def join(coordinator: str, processes: int, process: int) -> int:
  """Meets the other processes, the first listening at `coordinator`; says how many there are.

  With no coordinator jax finds them by itself: on a TPU pod, under SLURM, Open MPI or Kubernetes,
  or from JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Call it before any
  computation. UserError when the others cannot be found.
  """
  if jax.distributed.is_initialized():
    return jax.process_count()  # for an earlier run of this process
  try:
    jax.distributed.initialize(
      coordinator or None,
      processes if coordinator else None,
      process if coordinator else None,
      # One that failed alone takes the others, which wait for it, down after so long.
      shutdown_timeout_seconds=30,
    )
  except (ValueError, RuntimeError) as error:
    where = f"--coordinator={coordinator}" if coordinator else "--distributed"
    raise UserError(
      f"{where}: {error}\n"
      "Name the processes yourself: --coordinator=HOST:PORT --processes=N --process=I"
    ) from None
  return jax.process_count()


def is_first() -> bool:
  return jax.process_index() == 0


def check_same(what: str, text: str) -> None:
  """UserError, in every process, unless all of them have the same text."""
  if jax.process_count() > 1:
    sums = multihost_utils.process_allgather(np.uint32(zlib.crc32(text.encode())))
    if len(set(sums.tolist())) > 1:
      raise UserError(f"the {jax.process_count()} processes were given different {what}")


def first_decides(decide: Callable[[], bool]) -> bool:
  """The answer of `decide` in the first process, where alone it runs; the others wait for it.

  When it raises there, the others raise a UserError that says so.
  """
  return bool(first_says(decide))


def first_says(number: Callable[[], int]) -> int:
  """As `first_decides`, of a number of 32 bits."""
  if jax.process_count() == 1:
    return number()
  failed = answer = np.iinfo(np.int32).min
  try:
    if is_first():
      answer = number()
  finally:
    answer = int(multihost_utils.broadcast_one_to_all(np.int32(answer)))
  if answer == failed:
    raise UserError("stopped with the first process, which says why")
  return answer


def wait(what: str) -> None:
  """Until all processes are here, and what the first has written can be read."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)


# --- rows of a batch -----------------------------------------------------------------------------


def mine(mesh: Mesh, tree: Any) -> Any:
  """This process's rows of arrays that hold all of them."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(lambda x: x[_own_rows(mesh, len(x))], tree)


def to_global(mesh: Mesh, tree: Any) -> Any:
  """From this process's rows to arrays over all devices, split by `batch_sharding`."""
  if jax.process_count() == 1:
    return tree  # the jitted functions place it
  return jax.tree.map(lambda x: _global_array(mesh, x), tree)


def to_local(tree: Any) -> Any:
  """On the host: this process's rows of arrays over all devices."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return jax.tree.map(_local_rows, tree)


def gather(mesh: Mesh, tree: Any) -> Any:
  """On every host: all rows, from each process's own. For what is small."""
  if jax.process_count() == 1:
    return tree
  return jax.device_get(_replicate(mesh)(to_global(mesh, tree)))


def _own_rows(mesh: Mesh, n: int) -> np.ndarray:
  """The rows, of n, that this process's devices hold, in order.

  All of them where the tensor axis spans the processes, and those of a device group that two
  processes share are both's.
  """
  indices = batch_sharding(mesh).addressable_devices_indices_map((n,)).values()
  pieces = sorted({index[0].indices(n) for index in indices if index is not None})
  return np.concatenate([np.arange(*piece) for piece in pieces])


def _global_array(mesh: Mesh, rows: Any) -> jax.Array:
  rows = np.asarray(rows)
  n = len(rows) * _shards(mesh) // _own_shards(mesh)
  own = _own_rows(mesh, n)

  def piece(index):  # whose first slice is of all rows
    start, stop, _ = index[0].indices(n)
    at = int(np.searchsorted(own, start))
    return rows[at : at + stop - start]

  return jax.make_array_from_callback((n, *rows.shape[1:]), batch_sharding(mesh), piece)


def _shards(mesh: Mesh) -> int:
  """Into how many pieces the mesh cuts a batch."""
  return mesh.shape["data"] * mesh.shape["fsdp"]


def _own_shards(mesh: Mesh) -> int:
  """How many of them this process's devices hold."""
  return len(_own_rows(mesh, _shards(mesh)))


def _local_rows(array: jax.Array) -> np.ndarray:
  pieces = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
  return np.concatenate([np.asarray(pieces[start]) for start in sorted(pieces)])


@cache
def _replicate(mesh: Mesh) -> Callable:
  return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))
