"""Families of decoders: how the files of each speak of our decoder, and which layers it has.

A family is a class that says how it differs from Llama's (`family.py`): its words in config.json,
the names and shapes of its tensors, and `block`, the class of its layers, where they aren't Llama's
(`models/blocks/`). Adding one = its file here + one line below, + its block if that is new. No file
here imports jax.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from models.pretrained.families.family import Family

FAMILIES = {  # by config.json's model_type
  "llama": "models.pretrained.families.family:Family",  # SmolLM's and Llama's own
  "mistral": "models.pretrained.families.mistral:Mistral",
  "qwen2": "models.pretrained.families.qwen:Qwen2",
  "qwen3": "models.pretrained.families.qwen:Qwen3",
  "olmo2": "models.pretrained.families.olmo2:Olmo2",
  "olmo3": "models.pretrained.families.olmo3:Olmo3",
  "gemma3_text": "models.pretrained.families.gemma3:Gemma3",
}


def named(model_type: str) -> "Family":
  """The family of this model_type, one of FAMILIES."""
  module, _, name = FAMILIES[model_type].partition(":")
  return getattr(importlib.import_module(module), name)(model_type)
