"""The safetensors format: 8 bytes with the header's length, a JSON header, then the values.

The format is this simple, so we read it ourselves: a header says what a file must weigh, which
finds a broken download at once, and the values are read where they lie (`StoredTensor`).
https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from models.pretrained import strict_json
from models.pretrained.stored_tensors import (
  PLAIN,
  CheckpointError,
  StoredTensor,
  check,
  is_shape,
)


def read_header(path: str) -> dict[str, StoredTensor]:
  """The tensors of a file by name. CheckpointError if it is truncated or no such file."""
  size = os.path.getsize(path)
  with open(path, "rb") as file:
    start = file.read(8)
    if start == b"version ":  # what a clone without git-lfs holds instead of the file
      raise CheckpointError(f"{path}: a Git LFS pointer, not the weights; run `git lfs pull` there")
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if length > size - 8:
      raise CheckpointError(f"{path}: truncated within its header ({size:,} bytes); get it again")
    try:
      header = strict_json.parsed(file.read(length))
    except ValueError as error:
      raise CheckpointError(f"{path}: not a safetensors file (its header: {error})") from None
  header.pop("__metadata__", None)
  tensors = [_entry(path, name, entry, 8 + length) for name, entry in header.items()]
  declared = 8 + length + sum(tensor.end - tensor.offset for tensor in tensors)
  if declared < size:
    raise CheckpointError(
      f"{path}: not what its header says: {size:,} bytes, its header makes it {declared:,}; "
      "get it again"
    )
  check(tensors, 8 + length, size)
  return {tensor.name: tensor for tensor in tensors}


def _entry(path: str, name: str, entry: Any, start: int) -> StoredTensor:
  about = entry if isinstance(entry, dict) else {}
  dtype, shape, places = (about.get(word) for word in ("dtype", "shape", "data_offsets"))
  if not (isinstance(dtype, str) and is_shape(places) and len(places) == 2):
    raise CheckpointError(f"{path}: tensor {name[:80]!r}: the header does not say where it lies")
  if dtype not in PLAIN:
    raise CheckpointError(
      f"{path}: tensor {name} is of type {dtype[:20]}; weights are read from F32, F16 and BF16"
    )
  if not is_shape(shape):
    raise CheckpointError(f"{path}: tensor {name}: {str(shape)[:80]} is no shape of weights")
  first, last = places
  tensor = StoredTensor(path, name, dtype, tuple(shape), start + first)
  if tensor.end != start + last:
    raise CheckpointError(
      f"{path}: tensor {name} {list(tensor.shape)} of type {tensor.dtype} needs "
      f"{tensor.end - tensor.offset:,} bytes, the header gives it {last - first:,}"
    )
  return tensor


def write(path: str, shapes: Mapping[str, tuple[int, ...]], values: Iterable) -> None:
  """A file of float32 tensors: `values` gives (name, array) in the order of `shapes`.

  They are written as they come, so that no more than one need be in memory.
  """
  header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers asks for this word
  offset = 0
  for name, shape in shapes.items():
    end = offset + 4 * math.prod(shape)
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
    offset = end
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)  # values start at a multiple of 8 bytes
  with open(path, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for _, value in values:
      file.write(value.astype("<f4").tobytes())
