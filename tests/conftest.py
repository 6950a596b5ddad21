"""Tests compile many small programs: quickly rather than well, and each once."""

import gc
import os
import pathlib

import jaxtyping

from tests import type_checks

_QUICKLY = " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
_WHOLE = " --xla_cpu_parallel_codegen_split_count=1"  # in parts, for many cores, it is more work
_EIGHT_DEVICES = " --xla_force_host_platform_device_count=8"  # one is used, but for a larger mesh
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + _QUICKLY + _WHOLE + _EIGHT_DEVICES
os.environ["WANDB_MODE"] = "disabled"

vars(jaxtyping)["jaxtyped"] = type_checks.jaxtyped  # the import hook decorates with it

# What one process compiled serves the others, and the next time that the tests run.
_PROGRAMS = pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_collection_finish():
  """Imported modules stay: no need to look through them for garbage, again and again."""
  gc.freeze()
  gc.set_threshold(100_000, 20, 20)
