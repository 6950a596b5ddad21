"""Describes a pretrained model's files by their headers alone: no jax, in milliseconds.

`describe` reads a Hugging Face folder (config.json and safetensors) or a GGUF file, checks that it
is a decoder we compute and that every tensor is there in the right shape, and says where each one
lies. `models.pretrained.loading` then reads them into their shards.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from models.pretrained import gguf_files, safetensors_files
from models.pretrained.hugging_face_config import family_of, read_json, tokens_of
from models.pretrained.stored_tensors import CheckpointError, StoredTensor


@dataclasses.dataclass(frozen=True)
class CheckpointFiles:
  """A checkpoint: the shape of its model, where its tensors lie, what it says of tokens."""

  path: str
  model: dict[str, Any]  # arguments of ModelConfig but dtype; rope_scaling as a dict or None
  # By our leaf's path; of "layers/..." one a layer. Empty where a folder has no weights at all.
  tensors: dict[str, tuple[StoredTensor, ...]]
  eos_ids: tuple[int, ...]  # empty where the files do not say
  bos_id: int | None
  pad_id: int | None
  context_length: int | None  # the most tokens that it is meant to read


def describe(path: str) -> CheckpointFiles:
  """The checkpoint at `path`, a Hugging Face folder or a .gguf file.

  CheckpointError, one line, for whatever would fail or give other logits later: no such file, some
  shards missing, truncated files, another architecture, tensors missing, unexpected or of another
  shape; a header that lies, or values of a kind that no model has.
  """
  try:
    return _describe(path)
  except CheckpointError:
    raise
  except OSError as error:
    raise CheckpointError(f"{error.filename or path}: {error.strerror}") from None
  except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
    # A word of the files is of a kind that nobody asks for where it is read.
    what = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
    raise CheckpointError(f"{path}: its files do not describe a model ({what})") from None


def _describe(path: str) -> CheckpointFiles:
  if os.path.isdir(path):
    return _describe_folder(path)
  if not os.path.exists(path):
    raise CheckpointError(f"{path}: no such folder or file")
  if not path.endswith(".gguf"):
    raise CheckpointError(f"{path}: neither a Hugging Face folder nor a .gguf file")
  header = gguf_files.read_header(path)
  family, model, stored = gguf_files.decoder_of(header)
  tensors = match(family.gguf, family.shapes(model), model["layers"], stored, path)
  return CheckpointFiles(path, model, tensors, **_whole(gguf_files.tokens_of(header)))


def _whole(tokens: dict[str, Any]) -> dict[str, Any]:
  """The tokens and the context's length. TypeError: one of them is no whole number."""
  for name, value in tokens.items():
    for one in value if isinstance(value, tuple) else (value,):
      if one is not None and type(one) is not int:
        raise TypeError(f"{name} {str(one)[:40]!r}")
  return tokens


def _describe_folder(folder: str) -> CheckpointFiles:
  config_path = os.path.join(folder, "config.json")
  config = read_json(config_path)
  family = family_of(config, config_path)
  model = family.model_of(config, config_path)
  stored = {
    name: tensor
    for shard in _shards(folder)
    for name, tensor in safetensors_files.read_header(shard).items()
    if not name.endswith("rotary_emb.inv_freq")  # a constant that old files carry along
  }
  names, shapes = family.names, family.shapes(model)
  tensors = match(names, shapes, model["layers"], stored, folder) if stored else {}
  return CheckpointFiles(folder, model, tensors, **_whole(tokens_of(folder)))


def _shards(folder: str) -> list[str]:
  """The paths of the safetensors files, if any. CheckpointError if some are missing."""
  index = os.path.join(folder, "model.safetensors.index.json")
  if not os.path.exists(index):
    names = ["model.safetensors"]
  else:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
  if outside := [name for name in names if os.path.basename(name) != name]:
    raise CheckpointError(f"{index}: {outside[0][:80]!r} is not in this folder")
  missing = [name for name in names if not os.path.exists(os.path.join(folder, name))]
  if not os.path.exists(index):
    return [] if missing else [os.path.join(folder, names[0])]
  if missing:
    raise CheckpointError(
      f"{folder}: {len(missing)} of {len(names)} shards missing: {', '.join(missing[:3])}"
    )
  return [os.path.join(folder, name) for name in names]


def match(
  names: Mapping[str, str],
  shapes: Mapping[str, tuple[int, ...]],
  layers: int,
  stored: dict[str, StoredTensor],
  where: str,
) -> dict[str, tuple[StoredTensor, ...]]:
  """Our leaves' tensors. CheckpointError names those missing, unexpected or of another shape."""
  stored, found, problems = dict(stored), {}, []
  for leaf, shape in shapes.items():
    each = range(layers) if leaf.startswith("layers/") else (0,)
    found[leaf] = tuple(stored.pop(names[leaf].format(i), None) for i in each)
    for i, tensor in zip(each, found[leaf], strict=True):
      if tensor is None:
        problems.append(f"tensor {names[leaf].format(i)} {list(shape)} is missing")
      elif tensor.shape != shape:
        problems.append(f"tensor {tensor.name} is {list(tensor.shape)}, expected {list(shape)}")
  if "head" not in shapes:
    stored.pop(names["head"], None)  # a copy of the embedding
  problems += [f"unexpected tensor {t.name} {list(t.shape)}" for t in stored.values()]
  if problems:
    more = f"; and {len(problems) - 3} more such" if len(problems) > 3 else ""
    raise CheckpointError(f"{where}: {'; '.join(problems[:3])}{more}")
  return found
