"""Tensors that lie in files: where, of which type, and their values read a part at a time.

Nothing here imports jax, nor numpy before values are asked for: the command line looks at the
headers of files first.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TypeGuard


class CheckpointError(ValueError):
  """Says in one line what is wrong with a checkpoint's files, where, and what would be right."""


PLAIN = ("F32", "F16", "BF16")
# The types that can be read, as their formats name them: (values in a block, bytes of a block).
# Blocks longer than 1 are GGUF's quantized ones, along the last axis.
TYPES = {
  "F32": (1, 4),
  "F16": (1, 2),
  "BF16": (1, 2),
  "Q4_0": (32, 18),
  "Q4_1": (32, 20),
  "Q5_0": (32, 22),
  "Q5_1": (32, 24),
  "Q8_0": (32, 34),
  "Q2_K": (256, 84),
  "Q3_K": (256, 110),
  "Q4_K": (256, 144),
  "Q5_K": (256, 176),
  "Q6_K": (256, 210),
  "IQ4_NL": (32, 18),
  "IQ4_XS": (256, 136),
}
ALL = slice(None)
MOST_AXES = 8


@dataclasses.dataclass(frozen=True)
class StoredTensor:
  """One tensor in a file: where it lies, of which type. `read` gives its values."""

  path: str
  name: str
  dtype: str  # one of TYPES
  shape: tuple[int, ...]  # [out, in] of matrices, as torch has them
  offset: int  # in bytes, from the start of the file
  interleaved: int = 0  # GGUF's llama: each so many rows are a head whose pairs lie side by side

  @property
  def row_bytes(self) -> int:
    """Bytes of the last axis."""
    block, size = TYPES[self.dtype]
    return self.shape[-1] // block * size

  @property
  def end(self) -> int:
    """The offset of the byte after the last."""
    return self.offset + math.prod(self.shape[:-1]) * self.row_bytes

  def read(self, rows: slice = ALL, columns: slice = ALL):
    """These rows, and of a matrix these columns, as a float32 array.

    Only the rows asked for are read; of quantized ones whole rows, their blocks being indivisible.
    """
    import numpy as np  # here and below: the command line reads headers without it

    shape = (*self.shape[:-1], self.row_bytes)
    stored = np.memmap(self.path, np.uint8, "r", self.offset, shape)
    index = self._half_layout(np.arange(self.shape[0]))[rows] if self.interleaved else rows
    if self.dtype in PLAIN:
      part = stored.view(_plain_type(self.dtype))[index]
    else:
      part = _dequantize(stored[index], self.dtype)
    part = part[:, columns] if part.ndim == 2 else part
    # Always a copy: a view would keep the file open, and change when the file does.
    return np.array(part, np.float32)

  def _half_layout(self, rows):
    """Where the file has each row: pairs (2i, 2i + 1) of a head are (i, i + D/2) to us."""
    return rows.reshape(-1, self.interleaved // 2, 2).swapaxes(1, 2).reshape(-1)


def check(tensors: Sequence[StoredTensor], start: int, size: int) -> None:
  """CheckpointError if one cannot be, lies outside of [start, size), or shares bytes with another.

  For what a header says is anyone's word. Nothing is allocated for it.
  """
  before = start, ""
  for tensor in sorted(tensors, key=lambda one: one.offset):
    where = f"{tensor.path}: tensor {tensor.name[:80]!r}"
    if tensor.offset < before[0]:
      shared = f"shares bytes with {before[1][:80]!r}" if before[1] else "lies in the header"
      raise CheckpointError(f"{where} {shared}: the file is damaged")
    if tensor.end > size:
      raise CheckpointError(
        f"{tensor.path}: truncated: {size:,} bytes, its header makes it {tensor.end:,}; "
        "get it again"
      )
    before = tensor.end, tensor.name


def is_shape(shape: object) -> TypeGuard[Sequence[int]]:
  """Whether a header's word is a shape: whole numbers, one to MOST_AXES of them."""
  return (
    isinstance(shape, list | tuple)
    and 0 < len(shape) <= MOST_AXES
    and all(type(size) is int and 0 <= size < 1 << 48 for size in shape)
  )


def _plain_type(name: str):
  import ml_dtypes
  import numpy as np

  return {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}[name]


def _dequantize(blocks, name: str):
  from gguf.constants import GGMLQuantizationType
  from gguf.quants import dequantize

  return dequantize(blocks, GGMLQuantizationType[name])
