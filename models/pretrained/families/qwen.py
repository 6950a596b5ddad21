"""Qwen's families: Llama's, with biases (Qwen2) or norms (Qwen3) on queries and keys."""

from models.pretrained.families.family import Family


class Qwen2(Family):
  architecture = "Qwen2ForCausalLM"
  fixed = {"attention_bias": True}  # whatever its config.json says
  gguf_interleaved = False


class Qwen3(Family):
  architecture = "Qwen3ForCausalLM"
  fixed = {"qk_norm": True}
  gguf_interleaved = False
