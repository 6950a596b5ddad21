"""Tiny tokenizers, each as a family of models has it, that know every byte."""

import json

import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

SPACE = "▁"
WORDS = ("he", "el", "12", "lo")
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_LETTERS = [SPACE, *map(chr, range(33, 127))]
_WORD_MERGES = [(word[0], word[1]) for word in WORDS]
_MERGES = [*_WORD_MERGES, *((SPACE, letter) for letter in "h1ae")]
_TOKENS = ["<unk>", "<s>", "</s>", *_BYTES, *_LETTERS, *map("".join, _MERGES)]


def _sentence_pieces():
  vocabulary = {token: i for i, token in enumerate(_TOKENS)}
  return tokenizers.Tokenizer(BPE(vocabulary, _MERGES, byte_fallback=True, unk_token="<unk>"))


def _llama_2():
  tokens = _sentence_pieces()
  spaces = normalizers.Replace(" ", SPACE)
  tokens.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces])
  back = decoders.Replace(SPACE, " ")
  strip = decoders.Strip(" ", 1, 0)
  tokens.decoder = decoders.Sequence([back, decoders.ByteFallback(), decoders.Fuse(), strip])
  return tokens


def _metaspace(scheme):
  tokens = _sentence_pieces()
  tokens.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, scheme, split=False)
  space = decoders.Metaspace(SPACE, scheme, split=False)
  # The bytes first: what is decoded then has no spaces that are none.
  tokens.decoder = decoders.Sequence([decoders.ByteFallback(), space])
  return tokens


def _gemma():
  tokens = _sentence_pieces()
  tokens.normalizer = normalizers.Replace(" ", SPACE)
  back = decoders.Replace(SPACE, " ")
  tokens.decoder = decoders.Sequence([back, decoders.ByteFallback(), decoders.Fuse()])
  return tokens


def _byte_level(add_prefix_space):
  letters = sorted(pre_tokenizers.ByteLevel.alphabet())
  vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *letters, *WORDS])}
  tokens = tokenizers.Tokenizer(BPE(vocabulary, _WORD_MERGES))
  tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
  tokens.decoder = decoders.ByteLevel()
  return tokens


FAMILIES = {
  "Llama 2": _llama_2,
  "TinyLlama, Zephyr (always)": lambda: _metaspace("always"),
  "Mistral (first)": lambda: _metaspace("first"),
  "never": lambda: _metaspace("never"),
  "Gemma": _gemma,
  "GPT-2, Qwen, Llama 3": lambda: _byte_level(False),
  "with a prefix space": lambda: _byte_level(True),
}


def folder(path, family, **config):
  """A Hugging Face folder with a tokenizer of this family."""
  tokens = FAMILIES[family]()
  tokens.add_special_tokens(["<unk>", "<s>", "</s>"])
  tokens.save(str(path / "tokenizer.json"))
  names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
  (path / "tokenizer_config.json").write_text(json.dumps(names | config))
  return str(path)
