"""Olmo 2's family: norms after, not before; queries and keys normed over all heads together."""

from models.pretrained.families.family import GGUF, NAMES, Family, Model


class Olmo2(Family):
  architecture = "Olmo2ForCausalLM"
  fixed = {"block": "models.blocks.olmo2:Olmo2Layer", "qk_norm": True}
  silent = {**Family.silent, "rms_norm_eps": 1e-5}
  ropes = ("default",)
  names = NAMES | {
    "layers/attention_post_norm": "model.layers.{}.post_attention_layernorm.weight",
    "layers/ff_post_norm": "model.layers.{}.post_feedforward_layernorm.weight",
  }
  gguf = GGUF | {
    "layers/attention_post_norm": "blk.{}.post_attention_norm.weight",
    "layers/ff_post_norm": "blk.{}.post_ffw_norm.weight",
  }
  gguf_interleaved = False

  def norms(self, model: Model) -> dict[str, int]:
    width, head = model["d_model"], model["head_dim"]
    widths = {"attention_post_norm": width, "ff_post_norm": width}
    return widths | {"query_norm": model["heads"] * head, "key_norm": model["kv_heads"] * head}
