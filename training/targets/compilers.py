"""The targets' own compilers, without the targets: their devices as jax describes them.

A compiler is a package (`EXTRA` has them all). Whether it is there is known before jax is imported.
"""

import contextlib
import fcntl
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from training.errors import UserError
from training.targets import chips, cuda
from training.targets.chips import Target

LIBTPU = "0.0.42"  # what jax 0.10.2's `tpu` extra asks for; 0.0.52 fails on larger programs
EXTRA = 'pip install -e ".[targets]"'
NEEDED = {
  "tpu": ("libtpu",),
  "cuda": ("jax-cuda12-pjrt", "jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12"),
}


def target_of(name: str, mesh: dict[str, int]) -> Target:
  """The target of this name. UserError unless it is one, has the mesh's size, and can be used."""
  target = chips.find(name)
  chips.check_mesh(target, mesh)
  check_installed(target)
  return target


def check_installed(target: Target) -> None:
  """UserError, with the command that installs it, unless the target's compiler is here."""
  for package in NEEDED[target.chip.platform]:
    try:
      version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      raise UserError(
        f"--target={target.name}: the compiler for it is not installed ({package}): {EXTRA}"
      ) from None
    if package == "libtpu" and not version.startswith(f"{LIBTPU}."):
      if version != LIBTPU:
        raise UserError(
          f"--target={target.name}: libtpu {version} is installed, and this jax compiles with "
          f"{LIBTPU}: {EXTRA}"
        )


def prepare(target: Target) -> None:
  """Sets what the compiler reads from the environment. Call it before jax is imported."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # what is compiled here cannot be run
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # that there is no such device is no news
  if target.chip.platform == "cuda":
    cuda.prepare()
    return
  # libtpu would ask a server that only TPU machines have which of them this is.
  os.environ["TPU_SKIP_MDS_QUERY"] = "1"
  os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # a killed one's lock is no reason; see `alone`
  os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
  os.environ["TPU_ACCELERATOR_TYPE"] = "v5litepod-4"  # any: the topology says what it is


def devices(target: Target) -> list[Any]:
  """The target's devices as jax describes them: to be compiled for, not to be run on."""
  from jax.experimental import topologies

  if target.chip.platform == "cuda":
    return cuda.devices(target)
  import libtpu  # pyrefly: ignore[missing-import]

  os.environ.setdefault(
    "TPU_LIBRARY_PATH", os.path.join(os.path.dirname(libtpu.__file__), "libtpu.so")
  )
  options = {"chips_per_host_bounds": (1, 1, 1)} if target.devices == 1 else {}
  name = f"{target.generation}:{'x'.join(map(str, target.shape))}"
  return list(topologies.get_topology_desc(name, "tpu", **options).devices)


@contextlib.contextmanager
def alone(target: Target, say: Callable[[str], None]) -> Iterator[None]:
  """One process at a time: two would need the memory of both, and the processors."""
  path = os.path.join(
    tempfile.gettempdir(), f"counterpoint-{target.chip.platform}-{os.getuid()}.lock"
  )
  with open(path, "w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      say("another process is compiling for such a target: waiting for it")
      fcntl.flock(lock, fcntl.LOCK_EX)
    yield
