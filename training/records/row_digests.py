"""Digests of a run's files of rows at each checkpoint: a row that a disk changes is still a row."""

import hashlib
import os
from collections.abc import Iterable
from typing import Any

from training.records.files import read_json, write_json

DIGESTS = "rows.json"  # in a checkpoint's folder, where its checksums count it
_BLOCK = 1 << 20


class RowDigests:
  """Of some files below a folder that only grow, so that each byte is read once."""

  def __init__(self, folder: str, names: Iterable[str]):
    self._folder = folder
    self._until_now = {name: _Growing(os.path.join(folder, name)) for name in names}

  def sizes(self) -> dict[str, int]:
    """How long the files are now; 0 of one that is not there."""
    return {name: growing.size() for name, growing in self._until_now.items()}

  def write(self, checkpoint: str, sizes: dict[str, int]) -> None:
    """Keeps in the checkpoint's folder the digests of the files' first `sizes` bytes."""
    found = {name: [size, self._until_now[name].digest(size)] for name, size in sizes.items()}
    write_json(os.path.join(checkpoint, DIGESTS), found)

  def differing(self, checkpoint: str) -> list[str]:
    """The files that are not what they were at a checkpoint, in full; [] if it does not say."""
    kept: dict[str, Any] = read_json(os.path.join(checkpoint, DIGESTS))
    there = [(name, growing, kept.get(name)) for name, growing in self._until_now.items()]
    return [
      os.path.join(self._folder, name)
      for name, growing, was in there
      if was and was != [growing.size(), growing.digest(was[0])]
    ]


class _Growing:
  """The digest of a file's first bytes, of ever more of them."""

  def __init__(self, path: str):
    self._path, self._digest, self._read = path, hashlib.blake2b(digest_size=16), 0

  def size(self) -> int:
    return os.path.getsize(self._path) if os.path.exists(self._path) else 0

  def digest(self, size: int) -> str:
    """Of the first `size` bytes, no fewer than at the last call; of all, if there are fewer."""
    if self._read < size and os.path.exists(self._path):
      with open(self._path, "rb") as file:
        file.seek(self._read)
        while block := file.read(min(_BLOCK, size - self._read)):
          self._digest.update(block)
          self._read += len(block)
    return self._digest.hexdigest()
