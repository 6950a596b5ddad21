"""Which rows ask the same: a key for each prompt, by which rows are held out together.

Prompts that differ in white space around their texts, or in how Unicode spells a letter (NFC), are
the same. A prompt that was not given but is what two responses begin with alike (an implicit text)
may go on into the responses, and further in one row than in the next. So such a one counts up to
the last end of a line or sentence in it, and is the same as a shorter one that it begins with, if
that has half of its length.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from tasks.rows.row import Problem, Prompt, Row

Keys = np.ndarray  # of bytes, KEY long each; compared and sorted like bytes
KEY = "S16"
_BREAK = re.compile(r"[\n?!.:;](?=[^\n?!.:;]*$)")


def key_of(prompt: Prompt) -> bytes:
  """16 bytes, none of them zero at the end, which numpy would cut off."""
  if isinstance(prompt, str):
    normal: Prompt = _normal(prompt)
  else:
    normal = tuple((role, _normal(content)) for role, content in prompt)
  return _hash(repr(normal))


def keys_of(rows: Sequence[Row]) -> Keys:
  """A key for each row."""
  return joined(list(map(known_of, rows)))


def known_of(row: Row) -> bytes | str:
  """The row's key; an implicit text itself, whose key depends on the others."""
  return row.prompt if row.implicit and isinstance(row.prompt, str) else key_of(row.prompt)


def joined(known: Sequence[bytes | str]) -> Keys:
  """A key for each row, of what is known of each."""
  heads = {i: _head(one) for i, one in enumerate(known) if isinstance(one, str)}
  shortest = _shortest(set(heads.values()))
  keys = [key_of(shortest[heads[i]]) if i in heads else one for i, one in enumerate(known)]
  return np.array(keys, KEY)


def some(keys: Keys, count: int) -> Keys:
  """`count` of the keys, or all if there are fewer, each once: the smallest.

  Which they are depends on the prompts' texts alone, so more rows, or rows in another order, leave
  most of them where they are.
  """
  return np.unique(keys)[:count]


def split_by_prompt(rows: Sequence[Row], held_out: int) -> tuple[list[Row], list[Row]]:
  """The rows to train on, and all rows of `held_out` prompts.

  By prompt, not by row: a data set has several rows of a prompt, and one that was trained on tells
  about the others.

  Raises:
    ValueError: no prompt would be left to train on.
  """
  keys = keys_of(rows)
  kept_back = np.isin(keys, some(keys, held_out))
  if kept_back.all():
    raise ValueError(none_left(keys, held_out))
  halves: tuple[list[Row], list[Row]] = ([], [])
  for row, is_kept_back in zip(rows, kept_back, strict=True):
    halves[int(is_kept_back)].append(row)
  return halves


def none_left(keys: Keys, held_out: int) -> str:
  """Says that all prompts are held out."""
  count = len(np.unique(keys))
  return f"{count:,} distinct prompts; with {min(held_out, count):,} held out none is left"


def shared_prompts(train: Sequence[Row], evaluation: Sequence[Row]) -> list[Problem]:
  """The rows to train on whose prompt is also one to evaluate on."""
  keys = keys_of([*train, *evaluation])
  held_out = dict(zip(keys[len(train) :].tolist(), evaluation, strict=True))
  return [
    Problem(row.where, f"its prompt is held out for evaluation ({held_out[key].where})")
    for row, key in zip(train, keys.tolist(), strict=False)
    if key in held_out
  ]


def _normal(text: str) -> str:
  return unicodedata.normalize("NFC", text).strip()


def _head(prompt: str) -> str:
  text = _normal(prompt)
  found = _BREAK.search(text)
  return text[: found.end()] if found else text


def _shortest(heads: set[str]) -> dict[str, str]:
  """For each head the shortest one that it begins with, of those with half of its length."""
  found: dict[str, str] = {}
  open_heads: list[str] = []  # each begins with the one before it
  for head in sorted(heads):
    while open_heads and not head.startswith(open_heads[-1]):
      open_heads.pop()
    found[head] = next((one for one in open_heads if 2 * len(one) >= len(head)), head)
    open_heads.append(head)
  return found


def _hash(text: str) -> bytes:
  digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
  return digest[:-1] + bytes([digest[-1] | 1])
