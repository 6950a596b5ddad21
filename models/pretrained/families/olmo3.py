"""Olmo 3's family: Olmo 2's, with windows in three of four layers and YaRN in the fourth."""

from typing import Any

from models.pretrained.families import rope
from models.pretrained.families.family import Model, Words
from models.pretrained.families.olmo2 import Olmo2


class Olmo3(Olmo2):
  """Takes rope_theta of a config.json by transformers 4 for all layers, as its authors' code does.

  transformers 5 takes 500,000 for those with a window, which is what published models have anyway.
  """

  architecture = "Olmo3ForCausalLM"
  silent = {
    **Olmo2.silent,
    "rope_theta": 500_000.0,
    "sliding_window": 4096,
    "sliding_window_pattern": 4,
  }
  ropes = ("default", "yarn")
  gguf = {}  # its GGUF files say olmo2, with a window

  def positions(self, config: Words, path: str) -> Model:
    return rope.read_by_layers(config, self.ropes, path)

  def words(self, model: Model) -> dict[str, Any]:
    return super().words(model) | rope.words_by_layers(model)
