"""The targets that a run can be compiled for: chips, what they can do, and slices of them.

Every number is the vendor's own, for dense bfloat16, and what a program reaches stays below it.
TPUs: the tables "key specifications" of docs.cloud.google.com/tpu/docs/v5e, /v5p and /v6e, read in
November 2026. A link's rate is the "bidirectional inter-chip interconnect bandwidth (per chip)",
divided by two directions and the chip's links (4 in a 2D torus, 6 in a 3D one): of v5e 400 GB/s by
8, of v6e 800 by 8, of v5p 1,200 by 12. The same pages say how slices are named: v5e-16 and v6e-16
are 16 chips, v5p-32 is 32 cores, two a chip.
GPUs: NVIDIA's data sheets of the H100 (SXM5) and H200 (SXM), where tensor cores are given "with
sparsity", twice the dense rate, and NVLink as the sum of two directions (900 GB/s).
"""

import dataclasses
import math

from tasks.slips import choose
from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
  """One device, as jax counts them."""

  name: str
  platform: str  # "tpu" or "cuda"
  hbm_bytes: int
  flops: float  # bfloat16 FLOP/s, dense
  # FLOP/s of products of float32, in full. A TPU makes six bfloat16 passes of one ("bf16_6x" in
  # jax.lax.DotAlgorithmPreset); a GPU leaves its tensor cores.
  float32_flops: float
  hbm_rate: float  # bytes/s
  link_rate: float  # bytes/s of one link in one direction; of a GPU to all others together
  cores: int = 1  # by which the vendor counts a slice
  wraps_at: int = 0  # a torus is closed in a dimension that is a multiple of it; 0: no torus


GIB = 2**30
CHIPS = {
  # v5e and v6e wrap around in full pods alone, of 16 x 16 chips.
  "v5e": Chip("TPU v5e", "tpu", 16 * GIB, 197e12, 197e12 / 6, 819e9, 50e9, wraps_at=16),
  "v6e": Chip("TPU v6e", "tpu", 32 * GIB, 918e12, 918e12 / 6, 1638e9, 100e9, wraps_at=16),
  # Cubes of 4 x 4 x 4 chips are wired together by optical switches, which close every ring.
  "v5p": Chip("TPU v5p", "tpu", 95 * GIB, 459e12, 459e12 / 6, 2765e9, 100e9, 2, wraps_at=4),
  # NVIDIA: 1,979 TFLOP/s with sparsity, 67 of float32; 80 GB and 3.35 TB/s; 141 GB and 4.8 TB/s.
  "h100": Chip("NVIDIA H100 SXM", "cuda", 80 * 10**9, 989.5e12, 67e12, 3.35e12, 450e9),
  "h200": Chip("NVIDIA H200 SXM", "cuda", 141 * 10**9, 989.5e12, 67e12, 4.8e12, 450e9),
}

# The slices that are rented, in chips by dimension.
FLAT = ((1, 1, 1), (2, 2, 1), (2, 4, 1), (4, 4, 1), (4, 8, 1), (8, 8, 1), (8, 16, 1), (16, 16, 1))
CUBES = (
  *((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4)),
  *((4, 4, 8), (4, 8, 8), (8, 8, 8), (8, 8, 16)),
)
ONE_MACHINE = tuple((n, 1, 1) for n in (1, 2, 4, 8))  # GPUs that one NVSwitch joins
SLICES = {"v5e": FLAT, "v6e": FLAT, "v5p": CUBES, "h100": ONE_MACHINE, "h200": ONE_MACHINE}


@dataclasses.dataclass(frozen=True)
class Target:
  """A slice of a kind of chips."""

  name: str
  generation: str  # its name in CHIPS
  shape: tuple[int, int, int]  # chips by dimension

  @property
  def chip(self) -> Chip:
    return CHIPS[self.generation]

  @property
  def devices(self) -> int:
    return math.prod(self.shape)

  def __str__(self) -> str:
    by = " x ".join(str(n) for n in self.shape if n > 1)
    form = f" ({by})" if self.chip.platform == "tpu" and by else ""
    return f"{self.devices} x {self.chip.name}{form}"


TARGETS = {
  target.name: target
  for generation, shapes in SLICES.items()
  for shape in shapes
  for target in [
    Target(f"{generation}-{math.prod(shape) * CHIPS[generation].cores}", generation, shape)
  ]
}


def find(name: str) -> Target:
  """The target of this name; a chip's alone ("h200") is one of it. UserError with the nearest."""
  word = name.lower()
  if word in CHIPS:
    word = next(target.name for target in TARGETS.values() if target.generation == word)
  if word not in TARGETS:
    raise UserError(choose("--target", name, TARGETS))
  return TARGETS[word]


def check_mesh(target: Target, mesh: dict[str, int]) -> None:
  """UserError unless the mesh has as many devices as the target, with a mesh that has."""
  if math.prod(mesh.values()) == target.devices:
    return
  asked = " x ".join(map(str, mesh.values()))
  others = max(1, mesh["data"] * mesh["tensor"])
  kept = mesh if target.devices % others == 0 else {"data": 1, "tensor": 1}
  fsdp = target.devices // (kept["data"] * kept["tensor"])
  fields = {"data": kept["data"], "fsdp": fsdp, "tensor": kept["tensor"]}
  fits = " ".join(f"--config.mesh.{axis}={fields[axis]}" for axis in fields if fields[axis] != 1)
  raise UserError(
    f"--target={target.name} has {target.devices} devices and the mesh {asked} (data x fsdp x "
    f"tensor) is of {math.prod(mesh.values())}: {fits or '--config.mesh.fsdp=1'}"
  )
