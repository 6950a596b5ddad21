"""The shape of a decoder and how it computes, in one hashable record: `ModelConfig`."""

import dataclasses

import jax

from models.rotary import RopeScaling

# The parts of a layer that the backward pass keeps; all else it computes again.
REMAT = {
  "none": None,  # keep everything: the most memory, and on a CPU slower for all that it writes
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # outputs of linear layers
  "layers": jax.checkpoint_policies.nothing_saveable,  # only what enters the layer: least memory
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a decoder, and how it computes. Hashable: compiled functions are cached by it."""

  vocab_size: int
  layers: int = 3
  d_model: int = 128
  heads: int = 4
  kv_heads: int = 2
  head_dim: int = 32
  ff_dim: int = 384
  tied: bool = True  # the output head is the embedding, transposed
  qk_norm: bool = True  # RMSNorm on queries and keys, as Qwen3 has
  attention_bias: bool = False  # biases on queries, keys and values, as Qwen2 has
  rope_theta: float = 10_000.0
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-6
  block: str = "models.layer:Layer"  # the class of its layers: Llama's, or one of `models/blocks/`
  # Of each layer, how many tokens a token sees, itself included; 0: all before it. (): all, always.
  windows: tuple[int, ...] = ()
  local_rope_theta: float | None = None  # of layers with a window, never scaled; None: rope_theta
  query_pre_attn_scalar: int | None = None  # its root divides queries (Gemma); None: head_dim
  dtype: str = "float32"  # of activations; parameters and log-probs are float32 always
  attention: str = "auto"  # how it is computed, see `attention.attend`
  logits_at_once: int = 2**26  # more are computed in pieces, and again in the backward pass
  remat: str = "dots"  # what the backward pass computes again, see REMAT
  lora_rank: int = 0  # of the adapters on every linear layer; 0: none
  lora_alpha: float = 16.0  # they count lora_alpha / lora_rank times
