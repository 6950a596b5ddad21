"""Tiny random models by `transformers`, which `test_loading.py` compares ours with.

  pip install transformers==5.23.0 torch==2.13.0
  python tests/models/pretrained/hf/make_fixtures.py [olmo2 gemma3 ...]

writes beside this file, for each family (or each that is named), a Hugging Face folder and in it
logits.npz:

  versions         of transformers and torch
  tokens           [3, 12]: a row of 12 tokens, one left-padded and one right-padded
  mask             [3, 12], true where there is a token
  logits           [3, 12, 32], computed in float32; those at padding mean nothing

Run it in an environment of its own: Counterpoint needs neither. Norms and biases are random too, so
that none can be forgotten unseen. Between them the folders have one file, and shards with an index;
float32, bfloat16 and float16. Windows are shorter than the rows, and of more than one layer, so
that a token is reached from outside of the window of a layer above.
"""

import pathlib
import shutil
import sys

import numpy as np
import torch  # pyrefly: ignore
import transformers  # pyrefly: ignore

HERE = pathlib.Path(__file__).parent
VOCABULARY, LENGTH = 32, 12
SIZES = dict(
  vocab_size=VOCABULARY,
  hidden_size=16,
  intermediate_size=24,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  max_position_embeddings=512,
  initializer_range=0.3,
  bos_token_id=1,
  eos_token_id=2,
  pad_token_id=0,
)
LLAMA3 = dict(  # of the four frequencies of a head one is kept, one in between, two stretched
  rope_type="llama3",
  rope_theta=10_000.0,
  factor=8.0,
  low_freq_factor=1.0,
  high_freq_factor=4.0,
  original_max_position_embeddings=128,
)
YARN = dict(  # of the four frequencies of a head one is kept, one in between, two stretched
  rope_type="yarn",
  rope_theta=10_000.0,
  factor=8.0,
  original_max_position_embeddings=64,
  beta_fast=4.0,
  beta_slow=0.5,
)


def plain_rope(theta):
  return dict(rope_type="default", rope_theta=theta)


FAMILIES = {  # name: (class, differences of its config, type of its weights, size of a shard)
  "llama3": ("Llama", dict(head_dim=8, rope_parameters=LLAMA3), "float32", "16KB"),
  "smollm2": (
    "Llama",
    dict(tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters=plain_rope(100_000.0)),
    "float32",
    "1GB",
  ),
  "qwen2": (
    "Qwen2",
    dict(tie_word_embeddings=True, rope_parameters=plain_rope(1e6)),
    "bfloat16",
    "1GB",
  ),
  "qwen3": ("Qwen3", dict(head_dim=8, rope_parameters=plain_rope(1e6)), "float32", "1GB"),
  "mistral": (
    "Mistral",
    dict(sliding_window=None, num_key_value_heads=4, rope_parameters=plain_rope(10_000.0)),
    "float16",
    "1GB",
  ),
  "olmo2": ("Olmo2", dict(rope_parameters=plain_rope(500_000.0)), "float32", "1GB"),
  "olmo3": (
    "Olmo3",
    dict(
      num_hidden_layers=4,  # three with a window, then one without
      num_attention_heads=2,
      num_key_value_heads=1,
      sliding_window=4,
      rope_parameters=dict(full_attention=YARN, sliding_attention=plain_rope(10_000.0)),
    ),
    "float32",
    "1GB",
  ),
  "gemma3": (
    "Gemma3",
    dict(
      num_hidden_layers=3,
      layer_types=["sliding_attention", "sliding_attention", "full_attention"],
      sliding_window=3,
      head_dim=8,
      query_pre_attn_scalar=6,
      rope_parameters=dict(
        full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
        sliding_attention=plain_rope(10_000.0),
      ),
    ),
    "bfloat16",
    "1GB",
  ),
}


def random_model(family, differences, dtype):
  """A model whose weights are exact in `dtype`, norms and biases away from 1 and 0."""
  config_class = getattr(transformers, f"{family}ForCausalLM").config_class
  config = config_class(**SIZES | differences)
  model = getattr(transformers, f"{family}ForCausalLM")(config)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim == 1:
        parameter.add_(0.3 * torch.randn_like(parameter))
      assert parameter.std() > 0, name
  return model.to(getattr(torch, dtype))


def padded_tokens():
  """One row whole, one with 5 tokens of padding before it, one with 4 after."""
  tokens = np.random.default_rng(0).integers(3, VOCABULARY, (3, LENGTH))
  columns = np.arange(LENGTH)
  mask = np.stack([columns >= 0, columns >= 5, columns < LENGTH - 4])
  return np.where(mask, tokens, SIZES["pad_token_id"]), mask


def logits(folder, tokens, mask):
  """By the model read back from its files: a cast to bfloat16 spoils the rotary frequencies."""
  model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
  positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
  with torch.no_grad():
    outputs = model(
      input_ids=torch.tensor(tokens),
      attention_mask=torch.tensor(mask).long(),
      position_ids=torch.tensor(positions),
    )
  return outputs.logits.numpy()


def main(wanted):
  tokens, mask = padded_tokens()
  for seed, (name, (family, differences, dtype, shard)) in enumerate(FAMILIES.items()):
    if wanted and name not in wanted:
      continue
    torch.manual_seed(seed)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model = random_model(family, differences, dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    np.savez_compressed(
      folder / "logits.npz",
      versions=f"transformers {transformers.__version__}, torch {torch.__version__}",
      tokens=tokens,
      mask=mask,
      logits=logits(folder, tokens, mask),
    )


if __name__ == "__main__":
  main(sys.argv[1:])
