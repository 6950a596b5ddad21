"""The text of a compiled program (XLA's HLO), as instructions in computations.

Only what is counted is read: of each instruction its result, its operation, its operands and the
computations that it calls; and how often a loop goes round.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0}  # of those whose names have no number

_HEAD = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\{\s*$")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<= ]*)\](?:\{([^}]*)\})?")
_OPERAND = re.compile(r"%([^\s,()]+)")
_CALLS = re.compile(
  r"\b(calls|body|condition|to_apply|true_computation|false_computation)=%([^\s,}]+)"
)
_BRANCHES = re.compile(r"\b(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'known_trip_count"?:\{"n":"?(\d+)')


@dataclasses.dataclass(frozen=True)
class Array:
  """The type of an array."""

  dtype: str
  shape: tuple[int, ...]
  in_main_memory: bool = True  # False: in what is on the chip, which a TPU's text says

  @property
  def bytes(self) -> int:
    named = re.search(r"\d+", self.dtype)
    bits = BITS.get(self.dtype) if self.dtype in BITS else int(named[0]) if named else 0
    return math.prod(self.shape) * (bits or 0) // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line. `operands` are names of instructions of the same computation."""

  name: str
  result: tuple[Array, ...]  # of a tuple its arrays, those of tuples in it too
  operation: str
  operands: tuple[str, ...]
  attributes: str  # the rest of the line
  is_root: bool = False
  argument: str = ""  # within the parentheses: the number of a parameter, the value of a constant

  @property
  def calls(self) -> dict[str, str]:
    """Computations that it calls, by what for: "body", "condition", "calls", "branch 0", ..."""
    found = dict(_CALLS.findall(self.attributes))
    for several in _BRANCHES.findall(self.attributes):
      found |= {f"branch {i}": name for i, name in enumerate(_OPERAND.findall(several))}
    return found


@dataclasses.dataclass(frozen=True)
class Computation:
  """Instructions by name, in the order in which they run if the program is scheduled."""

  name: str
  instructions: dict[str, Instruction]

  def __iter__(self) -> Iterator[Instruction]:
    return iter(self.instructions.values())

  @property
  def root(self) -> Instruction:
    return next(i for i in self if i.is_root)

  def arrays(self, names: tuple[str, ...]) -> list[tuple[Array, ...]]:
    """The results of these instructions; of one that is not here none."""
    return [self.instructions[n].result if n in self.instructions else () for n in names]


@dataclasses.dataclass(frozen=True)
class Program:
  """A program's computations; a loop that counts to `until` begins at `since`."""

  computations: dict[str, Computation]
  entry: Computation
  since: int = 0
  until: int = 0

  def trips(self, loop: Instruction) -> int:
    """How often a `while` goes round, at most: what it counts to, or else 1."""
    if known := _TRIPS.search(loop.attributes):
      return int(known[1])
    last = max(self._constants(loop.calls["condition"]), default=1)
    first = self.since if last in (self.until - 1, self.until) else 0
    return -(-(last - first) // self._step(loop))

  def _step(self, loop: Instruction) -> int:
    """How much a loop counts at a time: an unrolled one several; 1 where it is not seen."""
    condition, body = (self.computations[loop.calls[role]] for role in ("condition", "body"))
    for read in condition:
      at = re.search(r"index=(\d+)", read.attributes)
      if read.operation != "get-tuple-element" or not at or read.result[0].shape:
        continue
      if int(at[1]) >= len(body.root.operands):
        continue
      new = body.instructions[body.root.operands[int(at[1])]]
      while new.operation in ("copy", "bitcast"):
        new = body.instructions[new.operands[0]]
      if new.operation == "add":
        added = [body.instructions[name] for name in new.operands]
        return max(
          [
            int(one.argument)
            for one in added
            if one.operation == "constant" and one.argument.isdigit()
          ],
          default=1,
        )
    return 1

  def _constants(self, name: str) -> Iterator[int]:
    """Whole numbers in a computation and those that it calls."""
    for instruction in self.computations.get(name, ()):
      is_number = instruction.operation == "constant" and re.fullmatch(r"\d+", instruction.argument)
      if is_number and instruction.result[0].dtype in ("s32", "s64", "u32"):
        yield int(instruction.argument)
      for called in instruction.calls.values():
        yield from self._constants(called)


def parse(text: str, since: int = 0, until: int = 0) -> Program:
  """The program of `compiled.as_text()`. ValueError if it has no entry."""
  computations, entry, name, lines = {}, "", "", {}
  for line in text.splitlines():
    if head := _HEAD.match(line):
      name, lines = head[2], {}
      entry = name if head[1] else entry
    elif name and re.match(r"}(,|$)", line):  # a kernel's attributes may have lines of their own
      computations[name], name = Computation(name, lines), ""
    elif name and (read := _instruction(line)):
      lines[read.name] = read
  if entry not in computations:
    raise ValueError("no ENTRY in the program's text")
  return Program(computations, computations[entry], since, until)


def _instruction(line: str) -> Instruction | None:
  left, equals, right = line.strip().partition(" = ")
  if not equals:
    return None
  end = _closing(right, 0) + 1 if right.startswith("(") else right.index(" ")
  result, rest = right[:end], right[end:].lstrip()
  operation, _, _ = rest.partition("(")
  close = _closing(rest, len(operation))
  argument = rest[len(operation) + 1 : close]
  return Instruction(
    name=left.removeprefix("ROOT ").lstrip("%"),
    result=tuple(_arrays(result)),
    operation=operation,
    operands=tuple(_OPERAND.findall(argument)),
    attributes=rest[close + 1 :],
    is_root=left.startswith("ROOT "),
    argument=argument,
  )


def _arrays(text: str) -> Iterator[Array]:
  for dtype, shape, layout in _ARRAY.findall(text):
    numbers = tuple(int(n.strip("<= ")) for n in shape.split(",") if n.strip("<= "))
    yield Array(dtype, numbers, not re.search(r"S\([1-9]", layout))


def _closing(text: str, start: int) -> int:
  """Where the parenthesis that opens at `start` closes."""
  depth = 0
  for i in range(start, len(text)):
    depth += (text[i] == "(") - (text[i] == ")")
    if depth == 0:
      return i
  return len(text)
