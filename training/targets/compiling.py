"""A program compiled for a target, and what its compiler says of it."""

import dataclasses
import re
import time

import jax

from training.parts import Parts
from training.targets import counts, hlo
from training.targets.chips import Target
from training.targets.collectives import Wiring
from training.targets.counts import Counts
from training.targets.programs import Program
from training.targets.roofline import Roofline

USABLE = 0.97  # share of the memory that a run can have; the system keeps some (v5e: 0.25 of 16)


@dataclasses.dataclass(frozen=True)
class Compiled:
  """Of a program on one device. Bytes; seconds; without counts if it needs more than there is.

  Attributes:
    memory: by part: "arguments", "outputs" (those that use no argument's place), "temporaries",
      "code", "held beside". Of one that the compiler refused: "in all" or "temporaries", by its own
      account, which ends there.
  """

  program: Program
  target: Target
  memory: dict[str, int]
  compile_seconds: float
  counts: Counts | None = None

  @property
  def fits(self) -> bool:
    return self.counts is not None and self.needed <= USABLE * self.target.chip.hbm_bytes

  @property
  def needed(self) -> int:
    return sum(self.memory.values())

  @property
  def roofline(self) -> Roofline | None:
    return Roofline.of(self.counts, self.target.chip) if self.counts else None

  @property
  def share_of_peak(self) -> float:
    """Of the chips' rate, if it took the roofline's time: multiplications counted by hand."""
    rate = self.target.chip.flops * self.target.devices
    return self.program.flops / self.roofline.seconds / rate if self.roofline else 0.0


def compiled(program: Program, parts: Parts, target: Target) -> Compiled:
  """The program, compiled by the target's own compiler."""
  started = time.monotonic()
  try:
    binary = program.lower().compile()
  except jax.errors.JaxRuntimeError as error:
    if not (memory := wanted_bytes(str(error))):
      raise
    memory |= {"held beside": program.beside}
    return Compiled(program, target, memory, time.monotonic() - started)
  seconds, stats = time.monotonic() - started, binary.memory_analysis()
  memory = {
    "arguments": stats.argument_size_in_bytes,
    "outputs": stats.output_size_in_bytes - stats.alias_size_in_bytes,
    "temporaries": stats.temp_size_in_bytes,
    "code": stats.generated_code_size_in_bytes,
    "held beside": program.beside,
  }
  places = tuple(
    tuple(getattr(device, "coords", None) or (i,))
    for i, device in enumerate(parts.mesh.devices.flat)
  )
  wiring = Wiring(target, dict(parts.mesh.shape), places)
  found = counts.count(hlo.parse(binary.as_text(), *program.drawn), wiring)
  return Compiled(program, target, memory, seconds, found)


def wanted_bytes(message: str) -> dict[str, int]:
  """Bytes that a program would need, from a compiler's refusal; {} if it was refused otherwise."""
  size = r"([\d.]+)([KMG])"
  for name, words in (
    ("in all", f"Used {size} of .* hbm"),
    ("temporaries", rf"required for HLO temporaries \({size}\)"),
  ):
    if found := re.search(words, message):
      return {name: int(float(found[1]) * 1024 ** ("KMG".index(found[2]) + 1))}
  return {}
