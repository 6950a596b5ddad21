"""Writes a decoder as a Hugging Face folder that `transformers` loads."""

import collections
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from models import adapters
from models.model_config import ModelConfig
from models.pretrained import hugging_face_config, safetensors_files
from models.pretrained.checkpoint_files import describe
from models.pretrained.stored_tensors import CheckpointError
from models.transformer import Params

SHARD_BYTES = 5 * 10**9  # of a file that export writes, at most
TOKENIZER_FILES = (
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "generation_config.json",  # with how to sample, beside the tokens that export knows of
)


def export(
  params: Params,
  config: ModelConfig,
  folder: str,
  tokenizer_from: str | None = None,
  tokens: Mapping[str, Any] | None = None,
) -> None:
  """Writes a Hugging Face folder, float32; low-rank adapters are merged into their weights.

  `tokenizer_from`, the checkpoint the model came from, gives the special tokens and the context
  length, and if it is a folder its tokenizer's files are copied. Without one `tokens` may say
  eos_ids, bos_id, pad_id. With several processes all must call it; the first writes.

  CheckpointError if `folder` is not empty, or if no architecture of Hugging Face's is this decoder.
  """
  if os.path.isdir(folder) and os.listdir(folder):
    raise CheckpointError(f"{folder}: not empty; nothing was written. Name a new folder")
  multihost_utils.sync_global_devices("export")  # all have looked before the first writes
  unknown = {"eos_ids": (), "bos_id": None, "pad_id": None, "context_length": None}
  tokens = unknown | dict(tokens or {})
  if tokenizer_from is not None:
    files = describe(tokenizer_from)
    tokens = {field: getattr(files, field) for field in unknown}
  model = dataclasses.asdict(config)
  family = hugging_face_config.family_that_writes(model)
  written = {"config.json": hugging_face_config.config_json(family, model, tokens)}
  written["generation_config.json"] = hugging_face_config.generation_json(tokens)
  os.makedirs(folder, exist_ok=True)
  if index := _write_weights(params, config, family.names, family.shapes(model), folder):
    written["model.safetensors.index.json"] = index
  if jax.process_index() != 0:
    return
  for name, content in written.items():
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
      json.dump(content, file, indent=2)
  for name in TOKENIZER_FILES:
    if tokenizer_from is not None and os.path.exists(os.path.join(tokenizer_from, name)):
      shutil.copyfile(os.path.join(tokenizer_from, name), os.path.join(folder, name))


def _write_weights(params: Params, config: ModelConfig, names, shapes, folder) -> dict | None:
  """Writes the safetensors files; returns their index, None where one file is all."""
  places = {}  # Hugging Face's name: our leaf, and the layer in it
  for leaf in shapes:
    layers = range(config.layers) if leaf.startswith("layers/") else (None,)
    places |= {names[leaf].format(i): (leaf, i) for i in layers}
  shards, size = [{}], 0
  for name, (leaf, _) in places.items():
    size += 4 * math.prod(shapes[leaf])
    if size > SHARD_BYTES and shards[-1]:
      shards.append({})
      size = 4 * math.prod(shapes[leaf])
    shards[-1][name] = shapes[leaf]
  weight_map = {}
  for i, shard in enumerate(shards):
    file = "model.safetensors"
    if len(shards) > 1:
      file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
    weight_map |= dict.fromkeys(shard, file)
    values = ((name, _stored_value(params, config, *places[name])) for name in shard)
    if jax.process_index() == 0:
      safetensors_files.write(os.path.join(folder, file), shard, values)
    else:
      collections.deque(values, maxlen=0)  # gathering takes every process
  total = sum(4 * math.prod(shapes[leaf]) for leaf, _ in places.values())
  index = {"metadata": {"total_size": total}, "weight_map": weight_map}
  return index if len(shards) > 1 else None


def _stored_value(params: Params, config: ModelConfig, leaf: str, layer: int | None) -> np.ndarray:
  """One tensor as files have it, [out, in], on the host, from wherever its shards are."""
  if layer is None:
    value = _gather(params[leaf])
    return value.T if leaf == "head" else value
  name = leaf.removeprefix("layers/")
  beside = (name, f"{name}_a", f"{name}_b")
  leaves = {key: _gather(leaf[layer]) for key, leaf in params["layers"].items() if key in beside}
  return adapters.merged_leaves(config, leaves)[name].T


def _gather(x: jax.Array) -> np.ndarray:
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))
