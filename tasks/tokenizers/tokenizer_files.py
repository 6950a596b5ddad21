"""The files of a Hugging Face folder that make a pretrained model's tokenizer.

  tokenizer.json           the tokens and how text is cut into them
  tokenizer_config.json    the special tokens' names, whether a BOS is added, the chat template
  special_tokens_map.json  the special tokens' names, where tokenizer_config.json has none
  chat_template.jinja      the chat template, in newer folders

A GGUF file holds the same: tasks/tokenizers/gguf_vocabulary.py.
"""

import dataclasses
import os
from typing import Any

import tokenizers

from models.pretrained import strict_json

_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


class TokenizerError(ValueError):
  """The files hold no tokenizer, or one that cannot be used; the message names the file."""


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
  """A tokenizer as its files describe it."""

  path: str
  tokens: tokenizers.Tokenizer
  special_tokens: dict[str, str]  # {"bos_token": "<s>", ...}, those that there are
  adds_bos: bool  # to every text that a model reads
  template: str | None  # a chat template's source


def read_folder(path: str) -> TokenizerFiles:
  """The tokenizer of a Hugging Face folder. TokenizerError if there is none, or a broken one."""
  file = os.path.join(path, "tokenizer.json")
  if not os.path.isfile(file):
    raise TokenizerError(
      f"{path} has no tokenizer.json; transformers' AutoTokenizer.from_pretrained(FOLDER)"
      ".save_pretrained(FOLDER) writes one from the older files"
    )
  try:
    tokens = tokenizers.Tokenizer.from_file(file)
  except Exception as error:  # the package raises nothing narrower
    raise TokenizerError(f"{file}: {error}") from None
  tokens.no_truncation()
  tokens.no_padding()

  config = _read_json(os.path.join(path, "tokenizer_config.json"))
  older = _read_json(os.path.join(path, "special_tokens_map.json"))
  names = {role: config.get(role) or older.get(role) for role in _ROLES}
  special = {role: _content(name) for role, name in names.items() if name}
  adds_bos = config.get("add_bos_token")
  if adds_bos is None:  # then the tokenizer's own template of a sequence says it
    first = tokens.encode("", add_special_tokens=True).tokens[:1]
    adds_bos = bool(first) and first[0] == special.get("bos_token")
  return TokenizerFiles(path, tokens, special, adds_bos, _template(path, config))


def _template(path: str, config: dict[str, Any]) -> str | None:
  """The chat template; of several by name, the one for plain conversations."""
  file = os.path.join(path, "chat_template.jinja")
  if os.path.isfile(file):
    with open(file, encoding="utf-8") as source:
      return source.read()
  template = config.get("chat_template")
  if isinstance(template, list):
    template = {each["name"]: each["template"] for each in template}.get("default")
  return template


def _content(token: str | dict[str, Any]) -> str:
  return token if isinstance(token, str) else token["content"]


def _read_json(path: str) -> dict[str, Any]:
  """{} if there is no such file."""
  if not os.path.isfile(path):
    return {}
  with open(path, "rb") as file:
    try:
      return strict_json.parsed(file.read())
    except ValueError as error:
      raise TokenizerError(f"{path} is no JSON: {error}") from None
