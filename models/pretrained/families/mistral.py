"""Mistral's family: Llama's, with a window in its first models, which are refused."""

from models.pretrained.families.family import Family, Words


class Mistral(Family):
  architecture = "MistralForCausalLM"
  gguf = {}  # its GGUF files say llama

  def window(self, config: Words) -> int | None:
    return config.get("sliding_window", 4096)  # what transformers takes where it is missing
