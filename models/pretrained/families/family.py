"""Llama's family, `Family`: its words in config.json, its tensors. Others say where they differ.

Whatever would change the logits and is not in our decoder is an error here: a window, another
activation, a rotary embedding stretched in a way that the family isn't known for. Both generations
of config.json are read: `rope_theta` and `rope_scaling`, and the `rope_parameters` of
transformers 5.
"""

from collections.abc import Mapping
from typing import Any

from models.pretrained.families import rope
from models.pretrained.stored_tensors import CheckpointError

Words = Mapping[str, Any]  # of config.json
Model = dict[str, Any]  # fields of ModelConfig; rope_scaling is a dict or None

SIZES = {
  "vocab_size": "vocab_size",
  "layers": "num_hidden_layers",
  "d_model": "hidden_size",
  "heads": "num_attention_heads",
  "ff_dim": "intermediate_size",
}
MOST, MOST_LAYERS = 1 << 31, 1 << 12  # beyond these a file is damaged, or a trap
# Fields of ModelConfig that are so unless a family says otherwise.
PLAIN = {
  "qk_norm": False,
  "attention_bias": False,
  "block": "models.layer:Layer",
  "windows": (),
  "local_rope_theta": None,
  "query_pre_attn_scalar": None,
}
# Hugging Face's names of our leaves, {} the layer.
NAMES = {
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
# GGUF's names of our leaves.
GGUF = {
  "embedding": "token_embd.weight",
  "final_norm": "output_norm.weight",
  "head": "output.weight",
  "layers/attention_norm": "blk.{}.attn_norm.weight",
  "layers/ff_norm": "blk.{}.ffn_norm.weight",
  "layers/query": "blk.{}.attn_q.weight",
  "layers/key": "blk.{}.attn_k.weight",
  "layers/value": "blk.{}.attn_v.weight",
  "layers/output": "blk.{}.attn_output.weight",
  "layers/query_bias": "blk.{}.attn_q.bias",
  "layers/key_bias": "blk.{}.attn_k.bias",
  "layers/value_bias": "blk.{}.attn_v.bias",
  "layers/query_norm": "blk.{}.attn_q_norm.weight",
  "layers/key_norm": "blk.{}.attn_k_norm.weight",
  "layers/gate": "blk.{}.ffn_gate.weight",
  "layers/up": "blk.{}.ffn_up.weight",
  "layers/down": "blk.{}.ffn_down.weight",
}


class Family:
  """Llama's family. Methods take and give plain data; `path` is for messages only."""

  architecture: str = "LlamaForCausalLM"
  names: dict[str, str] = NAMES
  fixed: Model = {}  # fields of ModelConfig that all models of the family share
  # Words of config.json: their values where it is silent, then all that we compute of some.
  silent: Words = {"rms_norm_eps": 1e-6, "rope_theta": 10_000.0}
  activation: tuple[str, str] = ("hidden_act", "silu")
  only: Words = {"mlp_bias": False, "partial_rotary_factor": 1.0}
  ropes: tuple[str, ...] = ("default", "llama3")
  # Names in GGUF files, empty where those are not read; and whether pairs of queries and keys that
  # are rotated together lie side by side in them, not half a head apart.
  gguf: dict[str, str] = GGUF
  gguf_interleaved: bool = True

  def __init__(self, model_type: str):
    self.model_type = model_type

  def model_of(self, config: Words, path: str) -> Model:
    """The keyword arguments of `ModelConfig` but dtype. CheckpointError if it isn't our decoder."""
    config = {**self.silent, **config}
    for word, right in (self.activation, *self.only.items()):
      if (value := config.get(word) or right) != right:
        raise CheckpointError(f"{path}: {word} {value!r} is not supported; {right!r} is")
    wrong = [f"{word}={config.get(word)}" for word in SIZES.values() if not _is_size(config, word)]
    if wrong:
      raise CheckpointError(f"{path}: {', '.join(wrong)}, expected a whole number above 0")
    model: Model = PLAIN | {ours: config[theirs] for ours, theirs in SIZES.items()}
    model["kv_heads"] = config.get("num_key_value_heads") or model["heads"]
    model["head_dim"] = config.get("head_dim") or model["d_model"] // model["heads"]
    if not all(_is_size(model, name) for name in ("kv_heads", "head_dim")):
      wrong = f"num_key_value_heads={model['kv_heads']}, head_dim={model['head_dim']}"
      raise CheckpointError(f"{path}: {wrong}, expected whole numbers above 0")
    model["tied"] = bool(config.get("tie_word_embeddings", False))
    model["attention_bias"] = bool(config.get("attention_bias"))
    model["norm_eps"] = float(config["rms_norm_eps"])
    if not 0 <= model["norm_eps"] < 1:
      raise CheckpointError(f"{path}: rms_norm_eps {model['norm_eps']}, expected a small number")
    return model | self.positions(config, path) | self.fixed

  def words(self, model: Model) -> dict[str, Any]:
    """The words that `model_of` reads back as this model, those that every transformers knows."""
    return {
      **{theirs: model[ours] for ours, theirs in SIZES.items()},
      "num_key_value_heads": model["kv_heads"],
      "head_dim": model["head_dim"],
      self.activation[0]: self.activation[1],
      "rms_norm_eps": model["norm_eps"],
      "rope_theta": model["rope_theta"],
      "rope_scaling": model["rope_scaling"],
      "tie_word_embeddings": model["tied"],
    }

  def positions(self, config: Words, path: str) -> Model:
    """Reads the fields of rotary positions and windows."""
    window = self.window(config)
    if window is not None or set(config.get("layer_types") or ()) - {"full_attention"}:
      raise CheckpointError(
        f"{path}: sliding-window attention (of {window} tokens) is not supported"
      )
    stated = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    return rope.read({"rope_theta": config["rope_theta"], **stated}, self.ropes, path)

  def window(self, config: Words) -> int | None:
    """The window of all layers; None without one."""
    return config.get("sliding_window", 4096) if config.get("use_sliding_window") else None

  def norms(self, model: Model) -> dict[str, int]:
    """A layer's norms and their widths, as its block has them."""
    widths = {"attention_norm": model["d_model"], "ff_norm": model["d_model"]}
    heads = {"query_norm": model["head_dim"], "key_norm": model["head_dim"]}
    return widths | (heads if model["qk_norm"] else {})

  def shapes(self, model: Model) -> dict[str, tuple[int, ...]]:
    """The shape that files give each of our leaves, of one layer.

    [out, in] where ours is [in, out]; the embedding is [vocabulary, model] in both.
    """
    width, ff, vocabulary = model["d_model"], model["ff_dim"], model["vocab_size"]
    query, key = model["heads"] * model["head_dim"], model["kv_heads"] * model["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {"embedding": (vocabulary, width), "final_norm": (width,)}
    if not model["tied"]:
      shapes["head"] = (vocabulary, width)
    layer: dict[str, tuple[int, ...]] = {"output": (width, query)}
    layer |= {"query": (query, width), "key": (key, width), "value": (key, width)}
    layer |= {"gate": (ff, width), "up": (ff, width), "down": (width, ff)}
    if model["attention_bias"]:
      layer |= {"query_bias": (query,), "key_bias": (key,), "value_bias": (key,)}
    layer |= {name: (n,) for name, n in self.norms(model).items()}
    return shapes | {f"layers/{name}": shape for name, shape in layer.items()}


def _is_size(config: Words, word: str) -> bool:
  most = MOST_LAYERS if word == SIZES["layers"] else MOST
  return type(config.get(word)) is int and 0 < config[word] <= most
