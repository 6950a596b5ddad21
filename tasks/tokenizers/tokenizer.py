"""The interface of tokenizers, and the smallest one: a token for each printable character."""

import string
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from tasks.rows.row import Prompt


@runtime_checkable  # so that tests check the types of arguments
class Tokenizer(Protocol):
  """Text to token ids and back. What a model sees is `encode_prompt(prompt)` + the response's ids.

  Prompts and responses are encoded apart: no token reaches across, and a response's log-probs are
  those of the tokens that the model would write.
  """

  @property
  def vocab_size(self) -> int:
    """Ids are below this; a model may have more embeddings."""
    ...

  @property
  def pad_id(self) -> int:
    """Fills rows; never the end of sequence. What is padding is said by masks, not by this."""
    ...

  @property
  def eos_id(self) -> int:
    """Ends a response, and every demonstration."""
    ...

  @property
  def eos_ids(self) -> tuple[int, ...]:
    """Tokens that end a response, `eos_id` first: Llama 3 and Qwen have several."""
    ...

  @property
  def chats(self) -> bool:
    """Whether a prompt is put to the model as a user's message."""
    ...

  @property
  def digest(self) -> str:
    """Hex digits that differ when the tokens of any text may."""
    ...

  def encode_prompt(self, prompt: Prompt) -> list[int]:
    """The tokens before the response. ValueError for a prompt that has none."""
    ...

  def most_prompt_tokens(self, prompt: Prompt) -> int:
    """No fewer than `encode_prompt` gives, and quicker. ValueError for a prompt that has none."""
    ...

  def encode(self, text: str) -> list[int]:
    """A response's tokens, without its end. ValueError if the text has no tokens."""
    ...

  def takes(self, text: str) -> bool:
    """Whether it is certain that the text has tokens, and no end is among them."""
    ...

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """A response's text, up to its end; other special tokens that a policy drew show."""
    ...

  def spelled(self, ids: Sequence[int] | np.ndarray) -> str:
    """The text of any tokens, for a person to see what a model does: each special one shows."""
    ...


CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " \n"


class CharTokenizer:
  """Tokens 0 (padding) and 1 (end of sequence), then one for each of `CHARACTERS`."""

  pad_id = 0
  eos_id = 1
  eos_ids: tuple[int, ...] = (1,)
  vocab_size = 2 + len(CHARACTERS)
  chats = False
  digest = "characters"

  _ids = {character: i + 2 for i, character in enumerate(CHARACTERS)}

  def __str__(self) -> str:
    return "characters"

  def encode_prompt(self, prompt: Prompt) -> list[int]:
    if not isinstance(prompt, str):
      raise ValueError("the character tokenizer has no turns, and the prompt is a conversation")
    return self.encode(prompt)

  def most_prompt_tokens(self, prompt: Prompt) -> int:
    return len(self.encode_prompt(prompt))

  def encode(self, text: str) -> list[int]:
    """ValueError, with the character, when the text holds one that has no token."""
    try:
      return [self._ids[character] for character in text]
    except KeyError as unknown:
      raise ValueError(f"the character tokenizer has no {unknown} (in {text!r})") from None

  def takes(self, text: str) -> bool:
    return all(character in self._ids for character in text)

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """The text up to the end of sequence. Padding that a policy drew shows as "�"."""
    characters = []
    for i in ids:
      if i == self.eos_id:
        break
      characters.append("�" if i == self.pad_id else CHARACTERS[int(i) - 2])
    return "".join(characters)

  def spelled(self, ids: Sequence[int] | np.ndarray) -> str:
    special = {self.pad_id: "<pad>", self.eos_id: "<end>"}
    return "".join(special.get(int(i)) or CHARACTERS[int(i) - 2] for i in ids)


CHARACTER_TOKENIZER = CharTokenizer()  # one for all, so that what is made with it is made once


def left_pad(rows: Sequence[Sequence[int]], length: int, pad_id: int):
  """Token ids [N, length] and their mask. Rows must not be longer than `length`."""
  ids = np.full((len(rows), length), pad_id, np.int32)
  mask = np.zeros((len(rows), length), bool)
  for i, row in enumerate(rows):
    ids[i, length - len(row) :] = row
    mask[i, length - len(row) :] = True
  return ids, mask


def right_pad(rows: Sequence[Sequence[int]], length: int, pad_id: int):
  """Token ids [N, length] and their mask. Rows must not be longer than `length`."""
  ids = np.full((len(rows), length), pad_id, np.int32)
  mask = np.zeros((len(rows), length), bool)
  for i, row in enumerate(rows):
    ids[i, : len(row)] = row
    mask[i, : len(row)] = True
  return ids, mask
