"""The devices that a run computes on."""

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from models.partitioning import has_host_memory, make_mesh
from training.errors import UserError
from training.records.environment import nvidia_gpus


def mesh_of(config: ConfigDict) -> Mesh:
  """The mesh of config.mesh.

  UserError when the machine has too few devices, or none that the config can be trained on.
  """
  if config.require_accelerator and jax.default_backend() == "cpu":
    raise UserError("require_accelerator is set, and jax finds only the CPU. " + accelerator_hint())
  if jax.default_backend() != "cpu":
    multiply_in_full()
  try:
    mesh = make_mesh(**config.mesh.to_dict())
  except ValueError as error:
    raise UserError(str(error)) from None
  if config.reference.get("memory") == "host" and not has_host_memory(mesh):
    raise UserError(
      f"reference.memory='host': {jax.default_backend()} devices cannot read the host's memory. "
      "Leave it out"
    )
  return mesh


def multiply_in_full() -> None:
  """Else accelerators multiply float32 in fewer bits; a CPU never does."""
  jax.config.update("jax_default_matmul_precision", "float32")


def device_line() -> str:
  """ "cpu x2": jax's backend and devices, and in how many processes."""
  devices = f"{jax.default_backend()} x{jax.device_count()}"
  return devices if jax.process_count() == 1 else f"{devices} in {jax.process_count()} processes"


def accelerator_hint() -> str:
  """The command that makes jax see a GPU that is here; "" when all is well."""
  if jax.default_backend() != "cpu" or not nvidia_gpus():
    return ""
  return f'An NVIDIA GPU is here: pip install "jax[cuda12]=={jax.__version__}"'
