"""What a pretrained model's files hold, found by their headers alone: no jax, in milliseconds.

`describe` reads a Hugging Face folder (config.json and safetensors) or a GGUF file, checks that it
is a decoder we compute and that every tensor is there in the right shape, and says where each one
lies. `models.pretrained.loading` then reads them into their shards.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from models.pretrained import gguf_files, safetensors_files
from models.pretrained.hugging_face_config import model_of, read_json, tokens_of
from models.pretrained.stored_tensors import CheckpointError, StoredTensor


@dataclasses.dataclass(frozen=True)
class CheckpointFiles:
  """A checkpoint: the shape of its model, where its tensors lie, what it says of tokens."""

  path: str
  model: dict[str, Any]  # arguments of ModelConfig but dtype; rope_scaling as a dict or None
  tensors: dict[str, tuple[StoredTensor, ...]]  # by our leaf's path; of "layers/..." one a layer
  eos_ids: tuple[int, ...]  # empty where the files do not say
  bos_id: int | None
  pad_id: int | None
  context_length: int | None  # the most tokens that it is meant to read


# Hugging Face's names of our leaves, {} the layer.
HUGGING_FACE = {
  "embedding": "model.embed_tokens.weight",
  "final_norm": "model.norm.weight",
  "head": "lm_head.weight",
  "layers/attention_norm": "model.layers.{}.input_layernorm.weight",
  "layers/ff_norm": "model.layers.{}.post_attention_layernorm.weight",
  "layers/query": "model.layers.{}.self_attn.q_proj.weight",
  "layers/key": "model.layers.{}.self_attn.k_proj.weight",
  "layers/value": "model.layers.{}.self_attn.v_proj.weight",
  "layers/output": "model.layers.{}.self_attn.o_proj.weight",
  "layers/query_bias": "model.layers.{}.self_attn.q_proj.bias",
  "layers/key_bias": "model.layers.{}.self_attn.k_proj.bias",
  "layers/value_bias": "model.layers.{}.self_attn.v_proj.bias",
  "layers/query_norm": "model.layers.{}.self_attn.q_norm.weight",
  "layers/key_norm": "model.layers.{}.self_attn.k_norm.weight",
  "layers/gate": "model.layers.{}.mlp.gate_proj.weight",
  "layers/up": "model.layers.{}.mlp.up_proj.weight",
  "layers/down": "model.layers.{}.mlp.down_proj.weight",
}


def describe(path: str) -> CheckpointFiles:
  """The checkpoint at `path`, a Hugging Face folder or a .gguf file.

  CheckpointError, one line, for whatever would fail or give other logits later: no such file,
  missing shards, truncated files, another architecture, tensors missing, unexpected or of another
  shape.
  """
  if os.path.isdir(path):
    return _describe_folder(path)
  if not os.path.exists(path):
    raise CheckpointError(f"{path}: no such folder or file")
  if not path.endswith(".gguf"):
    raise CheckpointError(f"{path}: neither a Hugging Face folder nor a .gguf file")
  header = gguf_files.read_header(path)
  model, stored = gguf_files.decoder_of(header)
  tensors = match(model, gguf_files.NAMES, stored, path)
  return CheckpointFiles(path, model, tensors, **gguf_files.tokens_of(header))


def _describe_folder(folder: str) -> CheckpointFiles:
  config_path = os.path.join(folder, "config.json")
  model = model_of(read_json(config_path), config_path)
  stored = {
    name: tensor
    for shard in _shards(folder)
    for name, tensor in safetensors_files.read_header(shard).items()
    if not name.endswith("rotary_emb.inv_freq")  # a constant that old files carry along
  }
  tensors = match(model, HUGGING_FACE, stored, folder)
  return CheckpointFiles(folder, model, tensors, **tokens_of(folder))


def _shards(folder: str) -> list[str]:
  """The paths of the safetensors files. CheckpointError if there are none, or some are missing."""
  index = os.path.join(folder, "model.safetensors.index.json")
  if not os.path.exists(index):
    names = ["model.safetensors"]
  else:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
  missing = [name for name in names if not os.path.exists(os.path.join(folder, name))]
  if missing and os.path.exists(index):
    raise CheckpointError(
      f"{folder}: {len(missing)} of {len(names)} shards missing: {', '.join(missing[:3])}"
    )
  if missing:
    raise CheckpointError(f"{folder}: no model.safetensors, nor model.safetensors.index.json")
  return [os.path.join(folder, name) for name in names]


def match(
  model: Mapping[str, Any], names: Mapping[str, str], stored: dict[str, StoredTensor], where: str
) -> dict[str, tuple[StoredTensor, ...]]:
  """Our leaves' tensors. CheckpointError names those missing, unexpected or of another shape."""
  stored, found, problems = dict(stored), {}, []
  for leaf, shape in stored_shapes(model).items():
    layers = range(model["layers"]) if leaf.startswith("layers/") else (0,)
    found[leaf] = tuple(stored.pop(names[leaf].format(i), None) for i in layers)
    for i, tensor in zip(layers, found[leaf], strict=True):
      if tensor is None:
        problems.append(f"tensor {names[leaf].format(i)} {list(shape)} is missing")
      elif tensor.shape != shape:
        problems.append(f"tensor {tensor.name} is {list(tensor.shape)}, expected {list(shape)}")
  if model["tied"]:
    stored.pop(names["head"], None)  # a copy of the embedding
  problems += [f"unexpected tensor {t.name} {list(t.shape)}" for t in stored.values()]
  if problems:
    more = f"; and {len(problems) - 3} more such" if len(problems) > 3 else ""
    raise CheckpointError(f"{where}: {'; '.join(problems[:3])}{more}")
  return found


def stored_shapes(model: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  """The shape that files give each of our leaves, of one layer: [out, in] where ours is [in, out].

  The embedding is [vocabulary, model] in both.
  """
  width, ff, vocabulary = model["d_model"], model["ff_dim"], model["vocab_size"]
  query, key = model["heads"] * model["head_dim"], model["kv_heads"] * model["head_dim"]
  shapes: dict[str, tuple[int, ...]] = {"embedding": (vocabulary, width), "final_norm": (width,)}
  if not model["tied"]:
    shapes["head"] = (vocabulary, width)
  layer: dict[str, tuple[int, ...]] = {"output": (width, query)}
  layer |= {"attention_norm": (width,), "ff_norm": (width,)}
  layer |= {"query": (query, width), "key": (key, width), "value": (key, width)}
  layer |= {"gate": (ff, width), "up": (ff, width), "down": (width, ff)}
  if model["attention_bias"]:
    layer |= {"query_bias": (query,), "key_bias": (key,), "value_bias": (key,)}
  if model["qk_norm"]:
    layer |= {"query_norm": (model["head_dim"],), "key_norm": (model["head_dim"],)}
  return shapes | {f"layers/{name}": shape for name, shape in layer.items()}
