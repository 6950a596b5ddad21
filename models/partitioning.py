"""Where arrays live: one mesh (data, fsdp, tensor) and one table of rules.

  data    each device group has all parameters and its own prompts (data parallelism)
  fsdp    parameters and optimizer state are split, gathered when used; prompts are split here too
  tensor  the heads, the feed-forward width and the vocabulary are split (tensor parallelism)

The rules below place parameters; `jax.jit` with these shardings (what pjit became) lets XLA place
everything else and insert the communication. One device is the mesh (1, 1, 1): the same code.
"""

import re

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp", "tensor")

# The first rule whose pattern ends a parameter's path decides. Leaves under `layers` have a leading
# axis of layers, never split. Optimizer moments have the path of their parameter, hence its place.
RULES = (
  (r"embedding", P("tensor", "fsdp")),  # [vocabulary, model]
  (r"head", P("fsdp", "tensor")),  # [model, vocabulary]
  (
    r"layers/(query|key|value|gate|up)",
    P(None, "fsdp", "tensor"),
  ),  # [layers, model, width]
  (r"layers/(output|down)", P(None, "tensor", "fsdp")),  # [layers, width, model]
  (r".*", P()),  # norms and counters: on every device
)


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
  """A mesh over the first data * fsdp * tensor devices. ValueError if there are fewer."""
  wanted, devices = data * fsdp * tensor, jax.devices()
  if wanted > len(devices):
    raise ValueError(
      f"mesh {data} x {fsdp} x {tensor} (data x fsdp x tensor) needs {wanted} devices; "
      f"this machine has {len(devices)} ({devices[0].platform})"
    )
  return Mesh(np.array(devices[:wanted]).reshape(data, fsdp, tensor), AXES)


def parameter_shardings(tree, mesh: Mesh):
  """The sharding of every leaf of a tree of parameters, or of one that holds such trees."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: NamedSharding(mesh, fit(rule(path_name(path)), leaf.shape, mesh)),
    tree,
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Arrays whose first axis is the prompts: split over data and fsdp, so that groups stay whole."""
  return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, P())


def rule(path: str) -> P:
  """The partition of the parameter at this path, such as "layers/query"."""
  return next(spec for pattern, spec in RULES if re.search(rf"(^|/){pattern}$", path))


def fit(spec: P, shape: tuple[int, ...], mesh: Mesh) -> P:
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
