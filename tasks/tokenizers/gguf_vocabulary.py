"""The tokenizer inside a GGUF file: byte-level BPE, as SmolLM2's."""

import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE

from models.pretrained import gguf_files
from tasks.tokenizers.tokenizer_files import TokenizerError, TokenizerFiles

_CONTROL, _USER_DEFINED = 3, 4  # token types

# Cuts text before the merges, by tokenizer.ggml.pre.
_PRE_TOKENIZERS = {
  "smollm": lambda: pre_tokenizers.Sequence(
    [
      pre_tokenizers.Digits(individual_digits=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
}


def read(path: str) -> TokenizerFiles:
  """The tokenizer of a .gguf file. TokenizerError if it is of a kind that is not known here."""
  about = gguf_files.read_header(path).metadata
  kind = about.get("tokenizer.ggml.model"), about.get("tokenizer.ggml.pre")
  if kind[0] != "gpt2" or kind[1] not in _PRE_TOKENIZERS:
    known = ", ".join(f"gpt2 / {name}" for name in _PRE_TOKENIZERS)
    raise TokenizerError(
      f"{path}: its tokenizer is {kind[0]} / {kind[1]}, and of GGUF files only {known} is "
      "supported; give the model's Hugging Face folder"
    )
  names, types = about["tokenizer.ggml.tokens"], about["tokenizer.ggml.token_type"]
  merges = [tuple(merge.split(" ")) for merge in about["tokenizer.ggml.merges"]]
  tokens = tokenizers.Tokenizer(BPE({name: i for i, name in enumerate(names)}, merges))
  tokens.pre_tokenizer = _PRE_TOKENIZERS[kind[1]]()
  tokens.decoder = decoders.ByteLevel()
  for name, token_type in zip(names, types, strict=True):
    if token_type in (_CONTROL, _USER_DEFINED):
      added = tokenizers.AddedToken(name, normalized=False, special=token_type == _CONTROL)
      tokens.add_tokens([added])

  roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
  ids = {role: about.get(f"tokenizer.ggml.{key}_token_id") for role, key in roles.items()}
  special = {role: names[i] for role, i in ids.items() if i is not None}
  adds_bos = about.get("tokenizer.ggml.add_bos_token", False)
  return TokenizerFiles(path, tokens, special, adds_bos, about.get("tokenizer.chat_template"))
