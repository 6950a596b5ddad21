"""Gemma 3's family, its text models: norms before and after, windows in five of six layers."""

from typing import Any

from models.pretrained.families import rope
from models.pretrained.families.family import NAMES, Family, Model, Words


class Gemma3(Family):
  architecture = "Gemma3ForCausalLM"
  fixed = {"block": "models.blocks.gemma3:Gemma3Layer", "qk_norm": True}
  silent = {
    **Family.silent,
    "head_dim": 256,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
    "tie_word_embeddings": True,
  }
  activation = ("hidden_activation", "gelu_pytorch_tanh")
  only = {
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "use_bidirectional_attention": False,
  }
  ropes = ("default", "linear")
  names = NAMES | {
    "layers/attention_post_norm": "model.layers.{}.post_attention_layernorm.weight",
    "layers/ff_norm": "model.layers.{}.pre_feedforward_layernorm.weight",
    "layers/ff_post_norm": "model.layers.{}.post_feedforward_layernorm.weight",
  }
  gguf = {}  # has 1 added to the norms' scales, and windows

  def positions(self, config: Words, path: str) -> Model:
    scalar = {"query_pre_attn_scalar": int(config["query_pre_attn_scalar"])}
    return rope.read_by_layers(config, self.ropes, path) | scalar

  def words(self, model: Model) -> dict[str, Any]:
    scalar = {"query_pre_attn_scalar": model["query_pre_attn_scalar"] or model["head_dim"]}
    return super().words(model) | rope.words_by_layers(model) | scalar

  def norms(self, model: Model) -> dict[str, int]:
    width = model["d_model"]
    return super().norms(model) | {"attention_post_norm": width, "ff_post_norm": width}
