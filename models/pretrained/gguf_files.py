"""The GGUF format, which llama.cpp reads: metadata, the places of the tensors, then their values.

The `gguf` package dequantizes the values (`StoredTensor.read`). The header is read here: the
package takes 5 seconds for a vocabulary of 49k words, this a tenth of one.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import dataclasses
import math
import mmap
import struct
from typing import Any

from models.pretrained.families import FAMILIES, named
from models.pretrained.families.family import MOST, MOST_LAYERS, PLAIN, Family
from models.pretrained.stored_tensors import (
  MOST_AXES,
  TYPES,
  CheckpointError,
  StoredTensor,
  check,
  is_shape,
)

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
SCALARS[12] = "d"
STRING, ARRAY = 8, 9
TYPE_IDS = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K"}
TYPE_IDS |= {11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16"}
MOST_VALUES = 1 << 23  # in lists; a vocabulary has three, of 2^18 at most as yet
ROPE_FREQUENCIES = "rope_freqs.weight"


@dataclasses.dataclass(frozen=True)
class GgufHeader:
  """Metadata by key (strings, numbers, lists of them) and tensors by GGUF's names."""

  path: str
  metadata: dict[str, Any]
  tensors: dict[str, StoredTensor]


class _Cursor:
  """Reads one value after the other. struct.error at the end of the file."""

  def __init__(self, data):
    self.data, self.at, self.values_left = data, 0, MOST_VALUES

  def scalar(self, code: str) -> Any:
    (value,) = struct.unpack_from("<" + code, self.data, self.at)
    self.at += struct.calcsize("<" + code)
    return value

  def string(self) -> str:
    length = self.scalar("Q")
    self.at += length
    if self.at > len(self.data):
      raise struct.error
    return self.data[self.at - length : self.at].decode("utf-8", "replace")

  def value(self, kind: int) -> Any:
    if kind == STRING:
      return self.string()
    if kind == ARRAY:
      kind, length = self.scalar("I"), self.scalar("Q")
      self.values_left -= length
      if kind == ARRAY or self.values_left < 0:  # no file of a model has lists of lists
        raise struct.error
      return [self.value(kind) for _ in range(length)]
    return self.scalar(SCALARS[kind])


def read_header(path: str) -> GgufHeader:
  """All that a file says before its values. CheckpointError if it is truncated or not GGUF."""
  with open(path, "rb") as file:
    if file.read(4) != b"GGUF":
      raise CheckpointError(f"{path}: not a GGUF file")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
      cursor = _Cursor(data)
      cursor.at = 4
      try:
        return _read(path, cursor)
      except (struct.error, KeyError):  # a KeyError is a type that no version has
        raise CheckpointError(f"{path}: truncated or damaged within its header") from None


def _read(path: str, cursor: _Cursor) -> GgufHeader:
  version = cursor.scalar("I")
  if version not in (2, 3):
    raise CheckpointError(f"{path}: GGUF version {version}; 2 and 3 are read, little-endian")
  tensor_count, key_count = cursor.scalar("Q"), cursor.scalar("Q")
  metadata: dict[str, Any] = {}
  for _ in range(key_count):
    key = cursor.string()
    metadata[key] = cursor.value(cursor.scalar("I"))
  places = []
  for _ in range(tensor_count):
    name = cursor.string()
    axes = cursor.scalar("I")
    if axes > MOST_AXES:
      raise struct.error
    shape = tuple(cursor.scalar("Q") for _ in range(axes))[::-1]
    places.append((name, shape, cursor.scalar("I"), cursor.scalar("Q")))
  alignment = metadata.get("general.alignment", 32)
  if type(alignment) is not int or not 0 < alignment <= 1 << 20:
    raise CheckpointError(f"{path}: general.alignment {str(alignment)[:20]} is none")
  start = cursor.at + -cursor.at % alignment
  tensors = {place[0]: _tensor(path, *place, start) for place in places}
  if len(tensors) < len(places):
    raise CheckpointError(f"{path}: two tensors of one name: the file is damaged")
  check(list(tensors.values()), start, len(cursor.data))
  return GgufHeader(path, metadata, tensors)


def _tensor(path, name, shape, type_id, offset, start) -> StoredTensor:
  if type_id not in TYPE_IDS:
    raise CheckpointError(
      f"{path}: tensor {name} is of GGUF type {type_id}, not supported; these are: "
      f"{', '.join(TYPES)}"
    )
  kind = TYPE_IDS[type_id]
  if not is_shape(shape) or shape[-1] % TYPES[kind][0]:
    raise CheckpointError(f"{path}: tensor {name[:80]}: {list(shape)} is no shape of type {kind}")
  return StoredTensor(path, name, kind, tuple(shape), start + offset)


def decoder_of(header: GgufHeader) -> tuple[Family, dict[str, Any], dict[str, StoredTensor]]:
  """The family, the keyword arguments of `ModelConfig` but dtype, the tensors in our layout."""
  path, metadata, tensors = header.path, header.metadata, dict(header.tensors)
  kind = metadata.get("general.architecture")
  known = [name for name in FAMILIES if named(name).gguf]
  if kind not in known:
    raise CheckpointError(
      f"{path}: architecture {kind} is not supported; these are: {', '.join(known)}"
    )
  found = named(kind)
  names = found.gguf
  if metadata.get("split.count", 1) not in (0, 1):
    raise CheckpointError(f"{path}: one of several parts; merge them with llama-gguf-split")

  def size(key: str, default: int | float | None = None) -> Any:
    value = metadata.get(f"{kind}.{key}", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST:
      raise CheckpointError(f"{path}: {kind}.{key} is {str(value)[:40]}, expected a number")
    return value

  def whole(key: str, default: int | None = None, most: int = MOST) -> int:
    value = size(key, default)
    if not isinstance(value, int) or not 0 < value <= most:
      raise CheckpointError(f"{path}: {kind}.{key} is {value}, expected a whole number above 0")
    return value

  heads, width = whole("attention.head_count"), whole("embedding_length")
  head_dim = whole("attention.key_length", width // heads)
  for key, ours in (
    ("attention.value_length", head_dim),
    ("rope.dimension_count", head_dim),
    ("attention.sliding_window", 0),
    ("expert_count", 0),
  ):
    if size(key, ours) != ours:
      raise CheckpointError(f"{path}: {kind}.{key} {size(key)} is not supported; {ours} is")
  if (scaling := metadata.get(f"{kind}.rope.scaling.type", "none")) != "none":
    raise CheckpointError(f"{path}: rope type {scaling!r} is not supported; none and llama3 are")
  theta = float(size("rope.freq_base", 10_000.0))
  epsilon = float(size("attention.layer_norm_rms_epsilon"))
  if epsilon >= 1:
    raise CheckpointError(
      f"{path}: {kind}.attention.layer_norm_rms_epsilon is {epsilon:g}, expected a small number"
    )
  frequencies = tensors.pop(ROPE_FREQUENCIES, None)
  model = PLAIN | {
    "vocab_size": tensors[names["embedding"]].shape[0] if names["embedding"] in tensors else 0,
    "layers": whole("block_count", most=MOST_LAYERS),
    "d_model": width,
    "heads": heads,
    "kv_heads": whole("attention.head_count_kv", heads),
    "head_dim": head_dim,
    "ff_dim": whole("feed_forward_length"),
    "tied": names["head"] not in tensors,
    "attention_bias": names["layers/query_bias"].format(0) in tensors,
    "rope_theta": theta,
    "rope_scaling": frequencies and llama3_scaling(frequencies, head_dim, theta),
    "norm_eps": epsilon,
  }
  if found.gguf_interleaved:
    tensors = {name: _interleaved(tensor, head_dim) for name, tensor in tensors.items()}
  return found, model | found.fixed, tensors


def _interleaved(tensor: StoredTensor, head_dim: int) -> StoredTensor:
  """Marks queries and keys as Llama's files have them: rotated pairs side by side."""
  if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
    return dataclasses.replace(tensor, interleaved=head_dim)
  return tensor


def llama3_scaling(stored: StoredTensor, head_dim: int, theta: float) -> dict[str, Any]:
  """Finds Llama 3's four numbers; GGUF keeps instead what each frequency is divided by.

  All of Llama 3.1 to 3.3 have the same last three. CheckpointError if they do not give the file's.
  """
  divisors = stored.read().tolist()
  factor, low, high, context = float(round(max(divisors))), 1.0, 4.0, 8192
  for i, divisor in enumerate(divisors):
    turns = context * theta ** (-2 * i / head_dim) / (2 * math.pi)
    kept = min(max((turns - low) / (high - low), 0.0), 1.0)
    if not math.isclose(divisor * (kept + (1 - kept) / factor), 1.0, rel_tol=1e-3):
      raise CheckpointError(f"{stored.path}: {stored.name} is not the scaling of Llama 3")
  return {
    "factor": factor,
    "low_freq_factor": low,
    "high_freq_factor": high,
    "original_max_position_embeddings": context,
    "rope_type": "llama3",
  }


def tokens_of(header: GgufHeader) -> dict[str, Any]:
  """eos_ids, bos_id, pad_id, context_length. An end of turn counts as an end of text."""

  def named(name: str) -> int | None:
    return header.metadata.get(f"tokenizer.ggml.{name}_token_id")

  kind = header.metadata.get("general.architecture")
  return {
    "eos_ids": tuple(dict.fromkeys(i for i in (named("eos"), named("eot")) if i is not None)),
    "bos_id": named("bos"),
    "pad_id": named("padding"),
    "context_length": header.metadata.get(f"{kind}.context_length"),
  }
