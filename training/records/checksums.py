"""Checksums of a checkpoint's files, kept beside them: Orbax's format has none of its own."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from training.errors import UserError
from training.records.files import read_json, write_json

CHECKSUMS = "checksums.json"
SEALED = "has_checksums"  # noted in a checkpoint that is to have them
_ABOUT = "_CHECKPOINT_METADATA"  # Orbax's name
_BLOCK = 1 << 24  # bytes that a thread reads at a time


def write(folder: str) -> None:
  """Keeps in the folder how long its files are, and a digest of each: blake2b, in threads."""
  names = _files_below(folder)
  sums = zip(names, _digests(folder, names), strict=True)
  found = {name: [os.path.getsize(os.path.join(folder, name)), digest] for name, digest in sums}
  write_json(os.path.join(folder, CHECKSUMS), found)


def is_unfinished(folder: str) -> bool:
  """Whether a checkpoint was stopped before its checksums were there."""
  has_checksums = os.path.exists(os.path.join(folder, CHECKSUMS))
  return not has_checksums and SEALED in (_noted(folder) or {})


def is_whole(folder: str) -> bool:
  """Whether a checkpoint has checksums, and its files are as these say."""
  return os.path.exists(os.path.join(folder, CHECKSUMS)) and _differing_file(folder) is None


def lacks_files(folder: str) -> bool:
  """Whether files of a checkpoint are gone, or the list of them that it would have."""
  if not os.path.exists(os.path.join(folder, CHECKSUMS)):
    return _noted(folder) is None
  try:
    names = read_json(os.path.join(folder, CHECKSUMS))
  except UserError:
    return False
  return not all(os.path.isfile(os.path.join(folder, name)) for name in names)


def damaged_file(folder: str) -> tuple[str, str] | None:
  """The first file of a checkpoint that is not as `write` found it, and why; or None.

  None, too, of one from before there were checksums.
  """
  if os.path.exists(os.path.join(folder, CHECKSUMS)):
    return _differing_file(folder)
  return (_ABOUT, "not readable, and no checksums") if _noted(folder) is None else None


def _noted(folder: str) -> dict[str, Any] | None:
  """The notes that we put into a checkpoint; None if they cannot be read."""
  try:
    return read_json(os.path.join(folder, _ABOUT))["custom_metadata"] or {}
  except (UserError, KeyError, OSError):
    return None


def _differing_file(folder: str) -> tuple[str, str] | None:
  try:
    kept = read_json(os.path.join(folder, CHECKSUMS))
    sizes = {name: int(size) for name, (size, _) in kept.items()}
  except (UserError, TypeError, ValueError, OSError):
    return CHECKSUMS, "no list of checksums"
  there = _files_below(folder)
  for name in sorted(sizes.keys() | set(there)):
    path = os.path.join(folder, name)
    if name not in sizes:
      return name, "no checksum: it was not written with the others"
    if not os.path.isfile(path):
      return name, "missing"
    if os.path.getsize(path) != sizes[name]:
      return name, f"{os.path.getsize(path)} bytes of {sizes[name]}"
  try:
    for name, digest in zip(there, _digests(folder, there), strict=True):
      if digest != kept[name][1]:
        return name, "not what was written"
  except OSError as error:
    return os.path.relpath(error.filename or folder, folder), error.strerror or "not readable"
  return None


def _digests(folder: str, names: list[str]) -> list[str]:
  """Of each file: the digest of the digests of its blocks, so that one file fills all threads."""

  def digest(block: tuple[str, int]) -> bytes:
    path, at = block
    with open(path, "rb") as file:
      file.seek(at)
      return hashlib.blake2b(file.read(_BLOCK), digest_size=16).digest()

  paths = [os.path.join(folder, name) for name in names]
  blocks = [[(path, at) for at in range(0, os.path.getsize(path), _BLOCK)] for path in paths]
  with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
    done = threads.map(digest, [block for of_file in blocks for block in of_file])
    joined = [b"".join(next(done) for _ in of_file) for of_file in blocks]
  return [hashlib.blake2b(of_file, digest_size=16).hexdigest() for of_file in joined]


def _files_below(folder: str) -> list[str]:
  paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
  return sorted(name for path in paths if (name := os.path.relpath(path, folder)) != CHECKSUMS)
