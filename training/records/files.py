"""Whole files of text and JSON: they appear at once, and what is not as it should be is named.

An object's file ends with a checksum of the rest: a bit that a disk turns leaves JSON as often as
not, with another number in it.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

from training.errors import UserError

CHECKSUM = "checksum"


def write_atomically(path: str, text: str) -> None:
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  with replacing(path) as file:
    file.write(text.encode())


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
  """A file to write, which takes the place of the one at `path` when all has gone well."""
  temporary = f"{path}.{os.getpid()}.tmp"
  try:
    with open(temporary, "wb") as file:
      yield file
    os.replace(temporary, path)
  except BaseException:  # a full disk, a ^C
    with contextlib.suppress(OSError):
      os.remove(temporary)
    raise


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
  return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
  """A plain Python number for an array's, and None for those that JSON cannot write."""
  if isinstance(value, Mapping):
    return finite(value)
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  value = value.item() if hasattr(value, "item") else value
  return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str, value: Any) -> None:
  write_atomically(path, json_text(value))


def json_text(value: Any) -> str:
  """A file's content; an object has its "checksum" as well, which `read_json` takes out again."""
  if isinstance(value, dict):
    plain = json.loads(json.dumps(value))  # as it is read: keys are texts, tuples lists
    value = plain | {CHECKSUM: _checksum(plain)}
  return json.dumps(value, indent=2) + "\n"


def _checksum(value: dict[str, Any]) -> str:
  text = json.dumps(value, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_json(path: str, needs: Mapping[str, type] | None = None) -> dict[str, Any]:
  """The object in the file; {} if there is no file.

  UserError if it holds anything else (nothing, too), is not what its checksum is of (there is none
  in files of others), or lacks one of the keys that it `needs`, with a value of this type.
  """
  content = _content(path)
  if content is None:
    return {}
  try:
    found = parsed(content)
  except ValueError as error:
    raise damaged(path, f"no JSON ({error})") from None
  if not isinstance(found, dict):
    raise damaged(path, "it holds no JSON object")
  if found.pop(CHECKSUM, None) not in (None, _checksum(found)):
    raise damaged(path, f"it is not what its {CHECKSUM!r} is of (if you changed it, remove that)")
  return with_all(found, path, needs or {})


def with_all(found: dict[str, Any], path: str, needs: Mapping[str, type]) -> dict[str, Any]:
  """`found`, which the file held. UserError if it lacks one of these keys, or its type."""
  for key, kind in needs.items():
    if not isinstance(found.get(key), kind):
      raise damaged(path, f"its {key!r} is missing, or of another kind")
  return found


def parsed(content: bytes) -> Any:
  """The JSON. ValueError if it is none, or deeper, or of longer integers, than anybody writes."""
  try:
    return json.loads(content.decode(), parse_int=_integer)
  except RecursionError:
    raise ValueError("nested too deep") from None


def _integer(digits: str) -> int:
  if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
    raise ValueError(f"an integer of {len(digits)} digits")
  return int(digits)


def damaged(path: str, why: str) -> UserError:
  return UserError(f"{path} is damaged: {why}. Restore it, or move it away")


def read_text(path: str) -> str:
  """ "" if there is no file. UserError if it cannot be read."""
  return (_content(path) or b"").decode(errors="replace")


def _content(path: str) -> bytes | None:
  """None if there is no file."""
  try:
    with open(path, "rb") as file:
      return file.read()
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:  # a folder in its place, or nothing for us to read
    raise UserError(f"{path} cannot be read: {error.strerror}") from None
