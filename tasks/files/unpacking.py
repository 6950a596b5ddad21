"""Compressed files, unpacked as they are read, and no further than honest ones go.

A file of a few kilobytes can unpack to more than any disk holds. What people pack becomes 3 to 30
times as long, or 300 times where all rows begin with one long prompt. A bomb comes near to what
its format can do: 1,032 times for gzip, far more for the others.
"""

import bz2
import gzip
import io
import lzma
from typing import Any

RATIO, FREE = 900, 256 << 20  # as many bytes for each of the file; so many may always come


class UnpacksTooMuch(Exception):
  """Says how much."""


class Growth:
  """How much has come out of a file that is read."""

  def __init__(self):
    self._out = 0

  def add(self, out: int, read: int) -> None:
    """`out` bytes more, after `read` bytes of the file. UnpacksTooMuch."""
    self._out += out
    if self._out > max(FREE, RATIO * read):
      raise UnpacksTooMuch(f"{self._out:,} bytes come out of {read:,}, more than of honest files")


def unpacked(raw: Any, packed: str) -> Any:
  """A binary reader of what is in an open file; `packed`: .gz, .bz2, .xz, .zst or "" for neither.

  Reading may raise UnpacksTooMuch.
  """
  if not packed:
    return raw
  if packed == ".zst":
    import pyarrow

    opened: Any = pyarrow.CompressedInputStream(raw, "zstd")  # pyrefly: ignore
  else:
    opened = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[packed](raw)
  return io.BufferedReader(_Counted(opened, raw), 1 << 16)


class _Counted(io.RawIOBase):
  def __init__(self, opened: Any, raw: Any):
    self._opened, self._raw, self._growth = opened, raw, Growth()

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    part = self._opened.read(len(buffer))
    buffer[: len(part)] = part
    self._growth.add(len(part), self._raw.tell())
    return len(part)
