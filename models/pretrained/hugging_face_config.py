"""Hugging Face's config.json in our words: the keyword arguments of `ModelConfig`.

Whatever would change the logits and is not in our decoder is an error here: a window, another
activation, a stretched rotary embedding other than Llama 3's. Both generations of the file are
read: `rope_theta` and `rope_scaling`, and the `rope_parameters` of transformers 5.
"""

import json
import os
from typing import Any

from models.pretrained.stored_tensors import CheckpointError

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
SIZES = {
  "vocab_size": "vocab_size",
  "layers": "num_hidden_layers",
  "d_model": "hidden_size",
  "heads": "num_attention_heads",
  "ff_dim": "intermediate_size",
}
LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def read_json(path: str) -> dict[str, Any]:
  """The object in a file. CheckpointError if it is not there or not JSON."""
  try:
    with open(path, encoding="utf-8") as file:
      return json.load(file)
  except FileNotFoundError:
    raise CheckpointError(f"{path}: no such file; a Hugging Face folder has one") from None
  except ValueError as error:
    raise CheckpointError(f"{path}: not JSON ({error})") from None


def model_of(config: dict[str, Any], path: str) -> dict[str, Any]:
  """The keyword arguments of `ModelConfig` but dtype; rope_scaling as a dict or None."""
  architecture = (config.get("architectures") or ["none"])[0]
  if architecture not in ARCHITECTURES:
    raise CheckpointError(
      f"{path}: architecture {architecture} is not supported; these are: {', '.join(ARCHITECTURES)}"
    )
  _refuse_what_we_do_not_compute(config, architecture, path)
  wrong = [f"{word}={config.get(word)}" for word in SIZES.values() if not _is_size(config, word)]
  if wrong:
    raise CheckpointError(f"{path}: {', '.join(wrong)}, expected a whole number above 0")
  model = {ours: config[theirs] for ours, theirs in SIZES.items()}
  model["kv_heads"] = config.get("num_key_value_heads") or model["heads"]
  model["head_dim"] = config.get("head_dim") or model["d_model"] // model["heads"]
  model["tied"] = bool(config.get("tie_word_embeddings", False))
  model["qk_norm"] = architecture == "Qwen3ForCausalLM"
  # Qwen2 has the biases whatever its config says.
  model["attention_bias"] = architecture == "Qwen2ForCausalLM" or bool(config.get("attention_bias"))
  model["norm_eps"] = float(config.get("rms_norm_eps", 1e-6))
  return model | rope(config, path)


def _is_size(config: dict, word: str) -> bool:
  return isinstance(config.get(word), int) and config[word] > 0


def _refuse_what_we_do_not_compute(config: dict, architecture: str, path: str) -> None:
  if (activation := config.get("hidden_act", "silu")) != "silu":
    raise CheckpointError(f"{path}: hidden_act {activation!r} is not supported; silu is")
  if config.get("mlp_bias"):
    raise CheckpointError(f"{path}: mlp_bias (biases in the feed-forward block) is not supported")
  window = None
  if architecture == "MistralForCausalLM":
    window = config.get("sliding_window", 4096)  # what transformers takes where it is missing
  elif config.get("use_sliding_window"):
    window = config.get("sliding_window", 4096)
  if window is not None or set(config.get("layer_types") or ()) - {"full_attention"}:
    raise CheckpointError(f"{path}: sliding-window attention (of {window} tokens) is not supported")


def rope(config: dict[str, Any], path: str) -> dict[str, Any]:
  """rope_theta and rope_scaling of either generation of config.json."""
  stated = config.get("rope_parameters") or config.get("rope_scaling") or {}
  kind = stated.get("rope_type", stated.get("type", "default"))
  if kind not in ("default", "llama3"):
    raise CheckpointError(f"{path}: rope type {kind!r} is not supported; default and llama3 are")
  share = stated.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
  if share != 1.0:
    raise CheckpointError(f"{path}: partial_rotary_factor {share} is not supported; 1.0 is")
  scaling = None
  if kind == "llama3":
    missing = [word for word in LLAMA3 if word not in stated]
    if missing:
      raise CheckpointError(f"{path}: rope type llama3 without {', '.join(missing)}")
    scaling = {word: stated[word] for word in LLAMA3}
  theta = stated.get("rope_theta", config.get("rope_theta", 10_000.0))
  return {"rope_theta": float(theta), "rope_scaling": scaling}


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


def config_json(model: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
  """The config.json of a model of ours, in the words that every transformers reads.

  CheckpointError for a decoder that no supported architecture describes.
  """
  if model["qk_norm"] and model["attention_bias"]:
    raise CheckpointError("no Hugging Face architecture has qk_norm and attention_bias as ours")
  kind = "qwen3" if model["qk_norm"] else "qwen2" if model["attention_bias"] else "llama"
  rope_type, length = {"rope_type": "llama3"}, tokens["context_length"]
  return {
    "architectures": [f"{kind.capitalize()}ForCausalLM"],
    "model_type": kind,
    **{theirs: model[ours] for ours, theirs in SIZES.items()},
    "num_key_value_heads": model["kv_heads"],
    "head_dim": model["head_dim"],
    "hidden_act": "silu",
    "rms_norm_eps": model["norm_eps"],
    "rope_theta": model["rope_theta"],
    "rope_scaling": model["rope_scaling"] and rope_type | model["rope_scaling"],
    "tie_word_embeddings": model["tied"],
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
