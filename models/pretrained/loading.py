"""Pretrained weights, read from files straight into their shards.

One leaf after the other is made, and each device's part of it is read by itself: what is on its way
is never more than a leaf.
"""

import functools

import jax
import numpy as np
from jax.sharding import Mesh, Sharding

from models.model_config import ModelConfig
from models.partitioning import parameter_shardings, path_name
from models.pretrained.checkpoint_files import CheckpointFiles
from models.pretrained.stored_tensors import StoredTensor
from models.rotary import SCALINGS
from models.transformer import Params, init


def config_of(files: CheckpointFiles, dtype: str = "float32") -> ModelConfig:
  """The decoder that these files hold the weights of; activations in `dtype`."""
  scaling = files.model["rope_scaling"]
  scaling = scaling and SCALINGS[scaling["rope_type"]](**scaling)
  return ModelConfig(**files.model | {"rope_scaling": scaling}, dtype=dtype)


def load(files: CheckpointFiles, mesh: Mesh) -> Params:
  """The parameters, float32, each leaf where `partitioning.RULES` place it on the mesh."""
  shapes = jax.eval_shape(functools.partial(init, config_of(files)), jax.random.key(0))

  def leaf(path, shape: jax.ShapeDtypeStruct, sharding: Sharding) -> jax.Array:
    name = path_name(path)
    part = functools.partial(_read_part, files.tensors[name], name, shape.shape)
    return jax.make_array_from_callback(shape.shape, sharding, _once_a_part(part))

  return jax.tree_util.tree_map_with_path(leaf, shapes, parameter_shardings(shapes, mesh))


def _once_a_part(read):
  """`read`, once for an index that several devices ask for (replicas)."""
  parts = {}

  def part(index) -> np.ndarray:
    key = str(index)
    if key not in parts:
      parts[key] = read(index)
    return parts[key]

  return part


def _read_part(tensors: tuple[StoredTensor, ...], name: str, shape, index) -> np.ndarray:
  """`leaf[index]` of the leaf of this shape, whose layers lie in `tensors`, [out, in]."""
  if not name.startswith("layers/"):
    return _read_one(tensors[0], name, index)
  layers = tensors[index[0]]
  sizes = [len(range(n)[i]) for n, i in zip(shape[1:], index[1:], strict=True)]
  part = np.empty((len(layers), *sizes), np.float32)
  for i, tensor in enumerate(layers):
    part[i] = _read_one(tensor, name, index[1:])
  return part


def _read_one(tensor: StoredTensor, name: str, index) -> np.ndarray:
  if len(index) == 1 or name == "embedding":
    return tensor.read(*index)
  return np.ascontiguousarray(tensor.read(index[1], index[0]).T)
