"""The work of one device in a compiled program: multiplications, memory traffic, exchanges.

XLA's own `cost_analysis` counts the body of a loop once. Here the text is walked from its entry,
and what is in a loop counts as often as the loop goes round (at most: a loop that may end early
counts in full; of two branches both count).
"""

import collections
import dataclasses
import math
import re

from training.targets.collectives import Collective, Wiring, kind_of
from training.targets.hlo import Array, Computation, Instruction, Program

FREE = {  # move nothing in memory, or what they move is counted where it is done
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while"),
  *("conditional", "call", "partition-id", "replica-id", "iota", "copy-done", "slice-done"),
  *("opt-barrier", "add-dependency", "domain", "async-update", "async-done"),
}
SLICES = ("dynamic-slice", "slice", "gather")  # read what they return, not all that they are given
RENAMED = ("bitcast", "get-tuple-element")
CONVERTED = (*RENAMED, "copy", "reshape", "convert")


@dataclasses.dataclass
class Counts:
  """Of one device.

  Attributes:
    flops, float32_flops: of matrix products: of numbers of 16 bits, and of float32 in full.
    bytes: read from and written to main memory.
    launches: operations that are started one after the other: on a GPU, kernels.
    collectives: each with how often it runs.
    kernels: attention's, cuDNN's and splash, counted from shapes, with how often each runs.
    unknown: kernels that compute what nobody can see in the text, with how often they run.
  """

  flops: float = 0.0
  float32_flops: float = 0.0
  bytes: float = 0.0
  launches: int = 0
  collectives: list[tuple[Collective, int]] = dataclasses.field(default_factory=list)
  kernels: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
  unknown: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def count(program: Program, wiring: Wiring) -> Counts:
  """All that the program does once."""
  walk = _Walk(program, wiring)
  walk.through(program.entry, 1, in_fusion=False)
  return walk.found


class _Walk:
  def __init__(self, program: Program, wiring: Wiring):
    self._program, self._wiring, self.found = program, wiring, Counts()
    self._visits = splash_visits(program)
    self._seen: set[str] = set()  # exchanges that go on over several fusions, on TPUs

  def through(self, computation: Computation, times: int, *, in_fusion: bool) -> None:
    for instruction in computation:
      self._arithmetic(computation, instruction, times)
      if kind_of(instruction):
        self._exchange(computation, instruction, times)
      elif not in_fusion and instruction.operation not in FREE:
        self.found.launches += times
        self.found.bytes += times * self._traffic(computation, instruction)
      rounds = self._program.trips(instruction) if instruction.operation == "while" else 1
      for role, name in instruction.calls.items():
        inner = self._program.computations.get(name)
        if inner and role != "to_apply" or inner and instruction.operation == "call":
          fused = in_fusion or instruction.operation in ("fusion", "async-start")
          self.through(inner, times * rounds, in_fusion=fused)

  def _arithmetic(self, computation: Computation, one: Instruction, times: int) -> None:
    operands = [a[0] for a in computation.arrays(one.operands) if a]
    if one.operation == "dot":
      amount = dot_flops(one, operands)
    elif one.operation == "convolution":
      amount = convolution_flops(one, operands)
    elif one.operation == "custom-call":
      target = re.search(r'custom_call_target="([^"]*)"', one.attributes)
      name = target[1] if target else ""
      if name.startswith("__cudnn$fmha"):
        self.found.flops += times * attention_flops(operands, is_backward="Backward" in name)
        self.found.kernels[name] += times
        return
      if splash := re.match(r"splash_m[hq]a_(fwd|dq|dkv)_", one.name):
        amount = splash_flops(splash[1], operands, self._visits)
        self.found.kernels[name] += times
      elif "gemm" not in name and "matmul" not in name:
        if any(word in name for word in ("cudnn", "tpu_custom_call", "triton")):
          self.found.unknown[name] += times
        return
      else:
        amount = dot_flops(one, operands)
    else:
      return
    if _is_float32(one, operands):
      self.found.float32_flops += times * amount
    else:
      self.found.flops += times * amount

  def _exchange(self, computation: Computation, one: Instruction, times: int) -> None:
    channel = re.search(r"channel_id=(\d+)", one.attributes)
    if "chain_id" in one.attributes and channel:  # one exchange, spread over several fusions
      if channel[1] in self._seen:
        return
      self._seen.add(channel[1])
    operands = computation.arrays(one.operands)
    self.found.bytes += times * (sum(map(_in_memory, operands)) + _in_memory(one.result[-1:]))
    given = sum(a.bytes for arrays in operands for a in arrays)
    is_scattered = computation.name.startswith("all-reduce-scatter")
    self.found.collectives.append((self._wiring.read(one, given, is_scattered), times))

  def _traffic(self, computation: Computation, one: Instruction) -> int:
    operands = computation.arrays(one.operands)
    if one.operation in ("copy-start", "slice-start"):  # (source, destination, context)
      moved = one.result[1] if len(one.result) > 1 else one.result[0]
      source = next((a for a in operands if a), (moved,))[0]
      return moved.bytes * (source.in_main_memory + moved.in_main_memory)
    if one.operation in SLICES:
      return 2 * _in_memory(one.result)
    if one.operation == "dynamic-update-slice":
      return 2 * _in_memory(operands[1])
    if one.operation == "custom-call" and re.search(
      "gemm|matmul", one.attributes
    ):  # the rest is room to work in
      return _in_memory(one.result[:1]) + sum(map(_in_memory, operands))
    fused = self._program.computations.get(one.calls.get("calls", ""))
    if one.operation != "fusion" or fused is None:
      return _in_memory(one.result) + sum(map(_in_memory, operands))
    read = sum(_read_of(fused, i, arrays) for i, arrays in enumerate(operands))
    return read + _written(fused, one)


def _read_of(fused: Computation, number: int, arrays: tuple[Array, ...]) -> int:
  """Bytes that a fusion reads of its operand of this number: slices, where it only slices it."""
  if not _in_memory(arrays):
    return 0
  names = {i.name for i in fused if i.operation == "parameter" and i.argument == str(number)}
  read = 0
  for one in fused:  # in order: whatever is only passed on is the parameter under another name
    if names.isdisjoint(one.operands):
      continue
    if one.operation in RENAMED:
      names.add(one.name)
    elif one.operation in SLICES and one.operands[0] in names:
      read += sum(a.bytes for a in one.result)
    elif one.operation == "dynamic-update-slice" and one.operands[0] in names:
      continue  # written in place
    elif one.operation == "tuple" or _is_exchange(one):
      continue  # on its way between devices, or handed on
    else:
      return _in_memory(arrays)
  return min(read, _in_memory(arrays))


def _written(fused: Computation, one: Instruction) -> int:
  """Bytes that a fusion writes: of an array that it updates in place, the update."""
  if not _in_memory(one.result):
    return 0
  root = fused.root
  outputs = root.operands if root.operation == "tuple" else (root.name,)
  written = 0
  for name in outputs:
    source = fused.instructions[name]
    while source.operation in RENAMED and source.operands:
      source = fused.instructions[source.operands[0]]
    if source.operation == "parameter" or _is_exchange(source):
      continue  # handed on, or counted as an exchange
    while source.operation in CONVERTED and source.operands:
      source = fused.instructions[source.operands[0]]
    if source.operation == "dynamic-update-slice":
      written += sum(a.bytes for a in fused.arrays(source.operands[1:2])[0])
    else:
      written += _in_memory(fused.instructions[name].result)
  return min(written, _in_memory(one.result))


def _is_exchange(one: Instruction) -> bool:
  """Whether it is one, or hands on what an exchange that goes on meanwhile has in its buffers."""
  return bool(kind_of(one)) or "AsyncCollective" in one.attributes


def _in_memory(arrays: tuple[Array, ...]) -> int:
  return sum(a.bytes for a in arrays if a.in_main_memory)


def _is_float32(one: Instruction, operands: list[Array]) -> bool:
  """Whether the product is of float32 numbers in full, not rounded to fewer bits."""
  precise = re.search(r"operand_precision=\{([^}]*)\}", one.attributes)
  is_full = precise is None or "highest" in precise[1]
  return is_full and any(a.dtype == "f32" for a in operands[:2])


def dot_flops(one: Instruction, operands: list[Array]) -> int:
  """2 m n k of a product, the axes that are summed over named in the attributes."""
  axes = re.search(r'lhs_contracting_dim(?:ension)?s"?[=:][\[{]([^\]}]*)[\]}]', one.attributes)
  if not axes or not operands:
    return 0
  summed = [operands[0].shape[int(n)] for n in re.findall(r"\d+", axes[1])]
  return 2 * math.prod(one.result[0].shape) * math.prod(summed)


def splash_visits(program: Program) -> dict[int, int]:
  """Blocks of tokens in a row -> how many of them a row of blocks may visit, as forward goes.

  Gradients in keys and values visit the same ones from the other side, where a prompt's is visited
  by all: their own masks would count far too many.
  """
  found: dict[int, int] = {}
  for computation in program.computations.values():
    for one in computation:
      if one.operation == "custom-call" and re.match(r"splash_m[hq]a_fwd_", one.name):
        *_, rows, visited = computation.arrays(one.operands)[0][0].shape
        found[rows] = max(visited, found.get(rows, 0))
  return found


def splash_flops(kernel: str, operands: list[Array], visits: dict[int, int]) -> int:
  """Of splash attention: of the blocks that each row of blocks may visit, in full.

  The first operand is the mask of blocks [heads, n, visited], or [heads, visited, n] where keys are
  gone through; the fourth are the queries [..., n * block, width].
  """
  (*_, rows, columns), (*heads, tokens, width) = operands[0].shape, operands[3].shape
  n = max(rows, columns)
  products = {"fwd": 2, "dq": 3, "dkv": 4}[kernel]
  pairs = n * visits.get(n, min(rows, columns)) * (tokens // n) ** 2
  return products * 2 * math.prod(heads) * pairs * width


def attention_flops(operands: list[Array], *, is_backward: bool) -> int:
  """Of cuDNN's attention: two products of all queries and keys, backward five; masked ones count.

  Queries are [batch, S, heads, D] and keys [batch, T, key heads, D]. Backward computes the scores
  again, since it never held them.
  """
  if len(operands) < 2 or len(operands[0].shape) != 4:
    return 0
  batch, s, heads, d = operands[0].shape
  return (5 if is_backward else 2) * 2 * batch * heads * s * operands[1].shape[1] * d


def convolution_flops(one: Instruction, operands: list[Array]) -> int:
  """Multiplications of a convolution, padding and the holes of a dilation left out.

  On a TPU every product is one: the axes of a batch are a window's, of which only one place fits.
  """
  labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.attributes)
  if not labels or len(operands) < 2:
    return 0
  left, right, out = labels.groups()
  window = re.search(r"window=\{([^}]*)\}", one.attributes)
  given = dict(re.findall(r"(\w+)=(\S+)", window[1])) if window else {}

  def along(key: str, axis: int, otherwise: str = "1") -> str:
    return given[key].split("x")[axis] if key in given else otherwise

  channels = operands[1].shape[right.index("i")]
  result = one.result[0].shape
  places = result[out.index("b")] * result[out.index("f")]
  groups = re.search(r"batch_group_count=(\d+)", one.attributes)
  for n in range(sum(c.isdigit() for c in out)):
    axis = str(n)
    places *= _fitting(
      operands[0].shape[left.index(axis)],
      operands[1].shape[right.index(axis)],
      result[out.index(axis)],
      stride=int(along("stride", n)),
      pad=int(along("pad", n, "0_0").partition("_")[0]),
      dilations=(int(along("lhs_dilate", n)), int(along("rhs_dilate", n))),
    )
  return 2 * places * channels // (int(groups[1]) if groups else 1)


def _fitting(given: int, window: int, result: int, *, stride, pad, dilations) -> int:
  """Pairs of a place in the result and one in the window that meet a number of the input."""
  spread, spread_window = dilations
  last, found = (given - 1) * spread, 0
  for place in range(result):
    for w in range(window):
      at = place * stride + w * spread_window - pad
      found += 0 <= at <= last and at % spread == 0
  return found
