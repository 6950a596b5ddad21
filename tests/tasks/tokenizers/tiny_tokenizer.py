"""A tiny byte-level BPE as a Hugging Face folder."""

import json

import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

SPECIAL = ("<unk>", "<s>", "</s>", "<end>", "<pad>")
UNK, BOS, EOS, END, PAD = range(5)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("h", "e"), ("he", "l"), ("Ġ", "t"), ("1", "2")]
TOKENS = [*SPECIAL, *BYTES, *("".join(merge) for merge in MERGES)]
CHATML = (
  "{% for m in messages %}[{{ m.role }}]{{ m.content }}<end>{% endfor %}"
  "{% if add_generation_prompt %}[assistant]{% endif %}"
)
NAMES = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<pad>"}


def folder(path, *, adds_bos=False, **config):
  """A Hugging Face folder whose tokenizer.json adds a BOS by itself, or not."""
  tokens = tokenizers.Tokenizer(BPE({token: i for i, token in enumerate(TOKENS)}, MERGES))
  tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokens.decoder = decoders.ByteLevel()
  tokens.add_special_tokens(list(SPECIAL))
  tokens.enable_truncation(4)
  if adds_bos:
    tokens.post_processor = TemplateProcessing("<s> $A </s>", None, [("<s>", BOS), ("</s>", EOS)])
  tokens.save(str(path / "tokenizer.json"))
  (path / "tokenizer_config.json").write_text(json.dumps(NAMES | config))
  return str(path)
