"""JSON of files that come with a download: one object, as the standard has it, or no reading."""

import json
from typing import Any

LONGEST = 1 << 28  # bytes; the largest header of a model that people use has some 10^7


def parsed(text: bytes | str) -> dict[str, Any]:
  """The object. ValueError: it is none, a key is there twice, a number is none, it is too deep."""
  if len(text) > LONGEST:
    raise ValueError(f"longer than {LONGEST >> 20} MiB")
  try:
    found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
  except RecursionError:
    raise ValueError("nested too deeply") from None
  except UnicodeDecodeError:
    raise ValueError("not UTF-8") from None
  if not isinstance(found, dict):
    raise ValueError("no object")
  return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))
    raise ValueError(f"the key {twice[:50]!r} is there twice")
  return found


def _no_number(word: str) -> None:
  raise ValueError(f"{word} is no JSON")
