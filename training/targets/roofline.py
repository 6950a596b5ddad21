"""Seconds that a program takes at least, of three things at once: compute, memory, network.

The longest of the three bounds it, if the other two hide behind it entirely. They seldom do: what a
chip reaches is below, never above.
"""

import dataclasses

from training.targets.chips import Chip
from training.targets.counts import Counts


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Seconds on one device."""

  compute: float
  memory: float
  network: float

  @classmethod
  def of(cls, counts: Counts, chip: Chip) -> "Roofline":
    return cls(
      compute=counts.flops / chip.flops + counts.float32_flops / chip.float32_flops,
      memory=counts.bytes / chip.hbm_rate,
      network=sum(one.seconds * times for one, times in counts.collectives),
    )

  @property
  def seconds(self) -> float:
    return max(self.compute, self.memory, self.network)

  @property
  def bound_by(self) -> str:
    """The one of the three that takes longest."""
    return max(("compute", "memory", "network"), key=lambda name: getattr(self, name))
