"""Exchanges between devices: by kind, by axis of the mesh, and how long the wires take."""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence

import numpy as np

from training.targets.chips import Target
from training.targets.hlo import Instruction

KINDS = (
  *("all-gather", "reduce-scatter", "all-reduce", "all-to-all"),
  *("collective-permute", "collective-broadcast", "ragged-all-to-all"),
)


@dataclasses.dataclass(frozen=True)
class Collective:
  """One kind of exchange among groups of devices.

  `bytes` are a device's: the whole of what is gathered, or reduced, or exchanged.
  """

  kind: str
  bytes: int
  axes: str  # of the mesh, such as "fsdp" or "data x fsdp"
  devices: int  # in a group
  seconds: float  # at the wires' full rate


@dataclasses.dataclass(frozen=True)
class Wiring:
  """The mesh that the program is for, and where its devices lie.

  Attributes:
    shape: devices by axis of the mesh, as in {"data": 1, "fsdp": 4, "tensor": 1}.
    places: of each device in the mesh's order, its coordinates in the slice.
  """

  target: Target
  shape: dict[str, int]
  places: tuple[tuple[int, ...], ...]

  def read(self, instruction: Instruction, given: int, is_scattered: bool = False) -> Collective:
    """The exchange that the instruction makes, given so many bytes.

    `is_scattered`: of an all-reduce only a device's own part is kept, as TPUs write it.
    """
    kind = kind_of(instruction)
    kind = "reduce-scatter" if is_scattered else kind
    arrays = [a.bytes for a in instruction.result]
    several = len(instruction.operands) > 1 and not instruction.operation.endswith("-start")
    size = sum(arrays) if several else max(arrays, default=0)
    groups = groups_of(instruction.attributes, math.prod(self.shape.values()))
    group = max(groups, key=len)
    size = given if kind == "reduce-scatter" else size
    return Collective(kind, size, self._axes(groups), len(group), self._seconds(kind, size, group))

  def _axes(self, groups: Sequence[Sequence[int]]) -> str:
    """The axes along which the devices of a group differ."""
    sizes = tuple(self.shape.values())
    varies = np.zeros(len(sizes), bool)
    for group in groups:
      at = np.stack(np.unravel_index(np.asarray(group), sizes))
      varies |= (at != at[:, :1]).any(axis=1)
    return " x ".join(itertools.compress(self.shape, varies)) or "none"

  def _seconds(self, kind: str, size: int, group: Sequence[int]) -> float:
    """At least: every link that the group can use is busy, in both directions where it may be."""
    n, chip = len(group), self.target.chip
    if n < 2:
      return 0.0
    if kind == "collective-permute":
      return size / chip.link_rate
    rate = chip.link_rate
    if chip.wraps_at:
      at = np.array([self.places[device] for device in group])
      lengths = [len(set(column)) for column in at.T.tolist()]
      # A ring takes from both sides; of a line the end takes from one.
      rate *= sum(2 if length % chip.wraps_at == 0 else 1 for length in lengths if length > 1)
    passes = 2 if kind == "all-reduce" else 1  # scattered, then gathered
    return passes * size * (n - 1) / n / rate


def kind_of(instruction: Instruction) -> str:
  """ "all-gather" of all-gather and all-gather-start; "" of anything else, such as a -done."""
  name = instruction.operation.removesuffix("-start")
  return name if name in KINDS else ""


def groups_of(attributes: str, devices: int) -> list[list[int]]:
  """Devices that exchange with each other, by their numbers in the mesh's order.

  From any of XLA's spellings: lists, a reshaped and transposed range, axes of a mesh.
  """
  if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", attributes):
    numbers = [int(n) for n in re.findall(r"\d+", pairs[1])]
    return [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)] or [[0]]
  if named := re.search(r"replica_groups=(?:@?mesh)\[(.*?)\](.*?)\{(.*?)\}", attributes):
    sizes = {name: int(n) for name, n in re.findall(r"'(\w+)'=(\d+)", named[1])}
    used = re.findall(r"'(\w+)'", named[3])
    grid = _range(named[2], devices).reshape(list(sizes.values()))
    others = [i for i, name in enumerate(sizes) if name not in used]
    order = others + [list(sizes).index(name) for name in used]
    width = math.prod(sizes[name] for name in used)
    return grid.transpose(order).reshape(-1, width).tolist()
  if short := re.search(
    r"replica_groups=\[(\d+),(\d+)\](<=\[[\d,]+\](?:T\([\d,]+\))?)", attributes
  ):
    return _range(short[3], devices).reshape(int(short[1]), int(short[2])).tolist()
  if listed := re.search(r"replica_groups=\{\{(.*?)\}\}", attributes):
    return [[int(n) for n in group.split(",")] for group in listed[1].split("},{")]
  return [list(range(devices))]


def _range(text: str, devices: int) -> np.ndarray:
  """The numbers of "<=[2,4]T(1,0)", or "device_ids=([2,4]T(1,0))": a range, reshaped, transposed
  and made flat."""
  found = re.search(r"(?:<=|device_ids=\()\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
  if not found:
    return np.arange(devices)
  shape = [int(n) for n in found[1].split(",")]
  numbers = np.arange(math.prod(shape)).reshape(shape)
  if found[2]:
    numbers = numbers.transpose([int(n) for n in found[2].split(",")])
  return numbers.reshape(-1)
