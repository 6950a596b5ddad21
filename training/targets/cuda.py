"""NVIDIA's compiler in XLA without a GPU: jax's CUDA plugin, told which GPU it would meet.

jax takes "gpu" for whichever kind is there, and has to be told that it means "cuda"; and it asks
the GPU for cuDNN's version before it calls cuDNN's attention, of which the compiler sees no more
than the call. All this changes jax for the rest of the process, which does nothing but compile.
"""

import importlib.util
import os
from typing import Any

from training.targets.chips import Target

CUDNN = 90700  # 9.7, as below
# As XLA describes an H100 or H200 to itself (xla/tools/hlo_opt/gpu_specs).
DEVICE = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: {rate} l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: {memory} shared_memory_per_block_optin: 232448
  cuda_compute_capability {{ major: 9 }}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 7 }}
runtime_version {{ major: 12 minor: 9 patch: 0 }}
device_description_str: "{name}"
"""


def prepare() -> None:
  """Sets what XLA reads from the environment: where its assembler is, and nothing to be timed."""
  folder = _folder("nvidia.cuda_nvcc")
  os.environ["PATH"] = os.pathsep.join([os.path.join(folder, "bin"), os.environ.get("PATH", "")])
  flags = {"cuda_data_dir": folder, "autotune_level": 0, "enable_triton_gemm": "false"}
  spelled = [f"--xla_gpu_{name}={value}" for name, value in flags.items()]
  os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *spelled]).strip()


def devices(target: Target) -> list[Any]:
  """The target's devices, on one machine."""
  from jax._src import xla_bridge
  from jax._src.cudnn import fused_attention_stablehlo as cudnn
  from jax.experimental import topologies

  xla_bridge.backends()  # first: the plugin may register itself
  if "cuda" not in xla_bridge._backend_factories:
    library = os.path.join(_folder("jax_plugins.xla_cuda12"), "xla_cuda_plugin.so")
    xla_bridge.register_plugin("cuda", priority=-1, library_path=library, options=None)
  known = xla_bridge.canonicalize_platform
  xla_bridge.canonicalize_platform = lambda platform: (
    "cuda" if platform == "gpu" else known(platform)
  )
  cudnn.check_cudnn_version = lambda: CUDNN
  cudnn.check_compute_capability = lambda capability: float(capability) <= 9.0
  chip = target.chip
  device = DEVICE.format(rate=int(chip.hbm_rate), memory=chip.hbm_bytes, name=chip.name)
  slices_hosts_devices = f"1x1x{target.devices}"
  topology = topologies.get_topology_desc(
    platform="cuda", target_config=device, topology=slices_hosts_devices
  )
  return list(topology.devices)


def _folder(package: str) -> str:
  """Where a package lies; a UserError of `compilers` has said before if it is not here."""
  spec = importlib.util.find_spec(package)
  places = spec.submodule_search_locations if spec else None
  return list(places or [""])[0]
