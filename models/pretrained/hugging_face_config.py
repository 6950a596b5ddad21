"""Hugging Face's config.json and generation_config.json: which family they name, which tokens.

The words of a decoder's shape differ by family; `models.pretrained.families` knows them.
"""

import os
from typing import Any

from models.pretrained import strict_json
from models.pretrained.families import FAMILIES, named
from models.pretrained.families.family import Family
from models.pretrained.stored_tensors import CheckpointError


def read_json(path: str) -> dict[str, Any]:
  """The object in a file. CheckpointError if it is not there or not JSON."""
  try:
    with open(path, "rb") as file:
      return strict_json.parsed(file.read())
  except FileNotFoundError:
    raise CheckpointError(f"{path}: no such file; a Hugging Face folder has one") from None
  except ValueError as error:
    raise CheckpointError(f"{path}: not JSON ({error})") from None


def family_of(config: dict[str, Any], path: str) -> Family:
  """The family of this config.json. CheckpointError if it is none of FAMILIES."""
  kind, architecture = config.get("model_type"), (config.get("architectures") or ["none"])[0]
  found = named(kind) if kind in FAMILIES else None
  if found is None or found.architecture != architecture:
    known = ", ".join(named(name).architecture for name in FAMILIES)
    raise CheckpointError(
      f"{path}: model_type {kind}, architecture {architecture} is not supported; these are: {known}"
    )
  return found


def tokens_of(folder: str) -> dict[str, Any]:
  """eos_ids, bos_id, pad_id, context_length; generation_config.json is right where they differ."""
  stated = read_json(os.path.join(folder, "config.json"))
  generation = os.path.join(folder, "generation_config.json")
  if os.path.exists(generation):
    stated |= {word: i for word, i in read_json(generation).items() if i is not None}
  eos = stated.get("eos_token_id")
  return {
    "eos_ids": tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,),
    "bos_id": stated.get("bos_token_id"),
    "pad_id": stated.get("pad_token_id"),
    "context_length": stated.get("max_position_embeddings"),
  }


def family_that_writes(model: dict[str, Any]) -> Family:
  """The first family that reads this very model out of what it writes of it.

  CheckpointError, with what stands in the way, if there is none: transformers has no such decoder.
  """
  unlike = []
  for found in map(named, FAMILIES):
    try:
      back = found.model_of(found.words(model), found.model_type)
    except CheckpointError:  # a rotary embedding that the family isn't known for
      continue
    unlike.append([field for field in back if back[field] != model[field]])
    if not unlike[-1]:
      return found
  nearest = min(map(len, unlike))
  fields = {field for fields in unlike if len(fields) == nearest for field in fields}
  listed = " and ".join(field for field in model if field in fields)
  raise CheckpointError(f"no Hugging Face architecture has {listed} as this decoder has")


def config_json(family: Family, model: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
  """The config.json of a model of ours, which is of this family."""
  length = tokens["context_length"]
  return {
    "architectures": [family.architecture],
    "model_type": family.model_type,
    **family.words(model),
    "torch_dtype": "float32",
    **({"max_position_embeddings": length} if length else {}),
    **generation_json(tokens),
  }


def generation_json(tokens: dict[str, Any]) -> dict[str, Any]:
  """The generation_config.json of these eos_ids, bos_id and pad_id."""
  eos = tokens["eos_ids"]
  return {
    "bos_token_id": tokens["bos_id"],
    "eos_token_id": eos[0] if len(eos) == 1 else list(eos) or None,
    "pad_token_id": tokens["pad_id"],
  }
