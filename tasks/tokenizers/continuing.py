"""A tokenizer for text that goes on from other text: a response after its prompt.

SentencePiece's way (Llama 2, Mistral, TinyLlama) puts a space before every text, and takes one away
when it decodes. Before a response that space would be one that nobody wrote.
"""

import json
from typing import Any

import tokenizers

_PARTS = ("normalizer", "pre_tokenizer", "decoder")
_LISTS = {"normalizers", "pretokenizers", "decoders"}  # of the parts that are sequences


def continuing(tokens: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """The same tokenizer without a space of its own before a text; itself where it has none."""
  states = {name: _state(getattr(tokens, name)) for name in _PARTS}
  without = {name: _without_space(state) for name, state in states.items()}
  if without == states:
    return tokens
  whole = json.loads(tokens.to_str())
  return tokenizers.Tokenizer.from_str(json.dumps(whole | without))


def _state(part: Any) -> dict[str, Any] | None:
  return None if part is None else json.loads(part.__getstate__())


def _without_space(part: dict[str, Any] | None) -> dict[str, Any] | None:
  """A part of a tokenizer.json, and those in it, without what adds or takes away a first space."""
  if part is None or part["type"] == "Prepend":
    return None
  part = dict(part)
  for name in _LISTS & part.keys():
    part[name] = [one for each in part[name] if (one := _without_space(each)) is not None]
  if part["type"] == "Metaspace":
    part |= {"prepend_scheme": "never"}
  if "add_prefix_space" in part and part["type"] in ("ByteLevel", "Metaspace"):
    part["add_prefix_space"] = False
  if part["type"] == "Strip" and part.get("content") == " ":
    part["start"] = 0
  return part
