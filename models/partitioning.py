"""Where arrays live: one mesh (data, fsdp, tensor) and one table of rules.

  data    each device group has all parameters and its own prompts (data parallelism)
  fsdp    parameters and optimizer state are split, gathered when used; prompts are split here too
  tensor  the heads, the feed-forward width and the vocabulary are split (tensor parallelism)

The rules below place parameters; `jax.jit` with these shardings (what pjit became) lets XLA place
everything else and insert the communication. One device is the mesh (1, 1, 1): the same code.
"""

import re
from collections.abc import Callable, Sequence
from functools import wraps

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

AXES = ("data", "fsdp", "tensor")
BY_PROMPTS = P(("data", "fsdp"))
HOST = "pinned_host"  # jax's name of a memory of the host that a device can read by itself

# The first rule whose pattern ends a parameter's path decides. Leaves under `layers` have a leading
# axis of layers, never split. Optimizer moments have the path of their parameter, hence its place.
# A layer's first matrices are split by their outputs (heads, feed-forward width) over `tensor`, the
# last ones by their inputs: between the two nothing has to be exchanged. An adapter x A B is split
# as its matrix, its rank whole.
RULES = (
  (r"embedding", P("tensor", "fsdp")),  # [vocabulary, model]
  (r"head", P("fsdp", "tensor")),  # [model, vocabulary]
  (r"layers/(query|key|value|gate|up)", P(None, "fsdp", "tensor")),  # [layers, model, width]
  (r"layers/(query|key|value|gate|up)_a", P(None, "fsdp", None)),  # [layers, model, rank]
  (r"layers/(query|key|value|gate|up)_b", P(None, None, "tensor")),  # [layers, rank, width]
  (r"layers/(query|key|value)_bias", P(None, "tensor")),  # [layers, width]
  (r"layers/(output|down)", P(None, "tensor", "fsdp")),  # [layers, width, model]
  (r"layers/(output|down)_a", P(None, "tensor", None)),  # [layers, width, rank]
  (r"layers/(output|down)_b", P(None, None, "fsdp")),  # [layers, rank, model]
  (r".*", P()),  # norms, scalar heads (model + 1 numbers) and counters: on every device
)


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1, devices: Sequence = ()) -> Mesh:
  """A mesh over the first data * fsdp * tensor devices, of all processes when there are several.

  ValueError if there are fewer, or if some process would be left without a part in the mesh.
  `devices` are others than jax's own: those of a target that is compiled for.
  """
  shape, devices = (data, fsdp, tensor), list(devices or jax.devices())
  wanted, there = data * fsdp * tensor, len(devices)
  asked = f"mesh {data} x {fsdp} x {tensor} (data x fsdp x tensor) needs {wanted} devices"
  if jax.process_count() > 1 and wanted != there:
    raise ValueError(
      f"{asked}; the {jax.process_count()} processes have {there}, and all must be in the mesh"
    )
  if wanted > there:
    raise ValueError(f"{asked}; this machine has {there} ({devices[0].platform})")
  if wanted < there:
    return Mesh(np.array(devices[:wanted]).reshape(shape), AXES)
  # On a TPU, in the order in which neighbours of the mesh are neighbours on the wires.
  return Mesh(mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True), AXES)


def parameter_shardings(tree, mesh: Mesh | AbstractMesh):
  """The sharding of every leaf of a tree of parameters, or of one that holds such trees."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: NamedSharding(mesh, fit(rule(path_name(path)), leaf.shape, mesh)),
    tree,
  )


def build_sharded(mesh: Mesh, build: Callable, *args):
  """build(*args), a tree of parameters, jitted so that every leaf is born in its shards."""
  return sharded(mesh, build, *args)(*args)


def sharded(mesh: Mesh, build: Callable, *args) -> Callable:
  """`build_sharded` of any args that have the shapes of these, to be called again and again."""
  shardings = parameter_shardings(jax.eval_shape(build, *args), mesh)
  return jax.jit(build, out_shardings=shardings)


def has_host_memory(mesh: Mesh) -> bool:
  """Whether the mesh's devices have `HOST` memory."""
  here = mesh.local_devices[0].addressable_memories()
  return HOST in {memory.kind for memory in here}


def on_host(params):
  """A copy of the parameters in `HOST` memory, each shard with its device."""
  return _in_memory(params, HOST)


def on_devices(params):
  """The parameters where they can be computed with: a copy if they are `on_host`."""
  arrays = [x for x in jax.tree.leaves(params) if isinstance(x, jax.Array)]  # not a population's
  rests = any(x.sharding.memory_kind == HOST for x in arrays)
  return _in_memory(params, "device") if rests else params


def _in_memory(params, kind: str):
  places = jax.tree.map(lambda x: x.sharding.with_memory_kind(kind), params)
  return jax.device_put(params, places)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Arrays whose first axis is the prompts: split over data and fsdp, so that groups stay whole."""
  return NamedSharding(mesh, BY_PROMPTS)


def by_heads(mesh: Mesh | AbstractMesh, heads: int) -> P:
  """Arrays of prompts, then heads: the heads split over tensor too, if it divides them."""
  return P(*BY_PROMPTS, "tensor" if heads % mesh.shape["tensor"] == 0 else None)


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, P())


def on_mesh(mesh: Mesh, function: Callable) -> Callable:
  """`function`, to be jitted: traced in the knowledge of the mesh, for `split_by_prompts` in it."""

  @wraps(function)
  def traced(*args):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return function(*args)

  return traced


def platform() -> str:
  """ "cpu", "gpu" or "tpu": what is traced for, `on_mesh` that of the mesh, elsewhere jax's own.

  A program may be compiled for devices that are not here (`training/targets`).
  """
  device = jax.sharding.get_abstract_mesh().abstract_device
  name = device.platform if device else jax.default_backend()
  return "gpu" if name == "cuda" else name


def split_by_prompts(embedded: Array, *, is_whole: bool = False) -> Array:
  """[B, ..., model] looked up in the embedding; splits the prompts if it is traced `on_mesh`.

  Left to itself XLA keeps what it looked up in a table split over fsdp split in that way, and then
  computes all prompts on every device. In two stages, because it knows how to go from each to the
  next: batches over data and width over fsdp, as the table gives them; then prompts over both. From
  a table that is whole (`gathered`) each device takes its own at once.
  """
  if "data" not in jax.sharding.get_abstract_mesh().axis_names:
    return embedded
  constrain = jax.lax.with_sharding_constraint
  if is_whole:
    return constrain(embedded, BY_PROMPTS)
  between = P("data", *[None] * (embedded.ndim - 2), "fsdp")
  return constrain(constrain(embedded, between), BY_PROMPTS)


def gathered(params):
  """Parameters whole over `fsdp`, still split over `tensor`, if traced `on_mesh`.

  For a loop that reads them at every turn. Behind a barrier, or XLA would gather some of them, such
  as a tied embedding, at every turn again.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if "fsdp" not in mesh.axis_names or mesh.shape["fsdp"] == 1:
    return params

  def whole(leaf, sharding: NamedSharding):
    spec = P(*(None if axis == "fsdp" else axis for axis in sharding.spec))
    return jax.lax.with_sharding_constraint(leaf, spec)

  return jax.lax.optimization_barrier(
    jax.tree.map(whole, params, parameter_shardings(params, mesh))
  )


def rule(path: str) -> P:
  """The partition of the parameter at this path, such as "layers/query"."""
  return next(spec for pattern, spec in RULES if re.search(rf"(^|/){pattern}$", path))


def fit(spec: P, shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> P:
  """The spec without the axes that do not divide their dimension (an odd vocabulary, say)."""
  return P(
    *(
      axis if axis and size % mesh.shape[axis] == 0 else None
      for axis, size in zip(spec, shape, strict=False)
    )
  )


def path_name(path) -> str:
  """A tree path as text: "params/layers/query"."""
  return "/".join(str(getattr(p, "key", getattr(p, "name", getattr(p, "idx", p)))) for p in path)
