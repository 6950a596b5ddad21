"""Getting the files that a data set is made of: from a folder, or downloaded once."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable

from tasks.datasets.data_set import DataSet, Source

Advance = Callable[[int], None]  # told how many bytes came since
_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte


class SourceError(ValueError):
  """A file that a data set is made of is not to be had, or is another one."""


def obtain(
  data_set: DataSet, manual_dir: str, download_dir: str, advance: Advance = lambda n: None
) -> dict[str, list[str]]:
  """The paths of the files of each split.

  Args:
    manual_dir: a folder that has them; "": they are downloaded into `download_dir`, once.
  Raises:
    SourceError: with what to do.
  """
  return {
    split: [_obtain(data_set.name, source, manual_dir, download_dir, advance) for source in sources]
    for split, sources in data_set.sources.items()
  }


def sha256_of(path: str) -> str:
  """Hex digits of the file's content."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def unpublished(data_set: DataSet, paths: dict[str, list[str]]) -> list[str]:
  """The files that are not, byte for byte, those whose checksum is known."""
  return [
    path
    for split, sources in data_set.sources.items()
    for source, path in zip(sources, paths[split], strict=True)
    if source.sha256 and sha256_of(path) != source.sha256
  ]


def _obtain(name: str, source: Source, manual_dir: str, download_dir: str, advance: Advance) -> str:
  if not source.url:  # the user's own file
    if not os.path.isfile(source.filename):
      raise SourceError(f"{source.filename}: no such file")
    return source.filename
  if manual_dir:
    names = [name for name in (source.filename, source.other_filename) if name]
    for filename in names:
      if os.path.isfile(path := os.path.join(manual_dir, filename)):
        return path
    raise SourceError(f"--manual_dir={manual_dir} has no {' nor '.join(names)} (of {name})")
  path = os.path.join(download_dir, name, source.filename)
  if not os.path.isfile(path):
    _download(name, source, path, advance)
  return path


def _download(name: str, source: Source, path: str, advance: Advance) -> None:
  """Into `path`, which appears when the file is whole and has the checksum that it should."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  partial, digest = f"{path}.{os.getpid()}.partial", hashlib.sha256()
  try:
    with urllib.request.urlopen(source.url, timeout=_TIMEOUT) as response, open(partial, "wb") as f:
      expected, received = int(response.headers.get("Content-Length") or -1), 0
      while chunk := response.read(_CHUNK):
        f.write(chunk)
        digest.update(chunk)
        received += len(chunk)
        advance(len(chunk))
    if expected not in (-1, received):
      raise SourceError(
        f"{source.url}: cut off after {received:,} of {expected:,} bytes; try again"
      )
    _check(source, path, digest.hexdigest())
    os.replace(partial, path)
  except (OSError, urllib.error.URLError) as error:
    raise SourceError(
      f"{source.url}: not downloaded ({getattr(error, 'reason', error)}). Without a network, put "
      f"{source.filename} in a folder and give it as --manual_dir=FOLDER ({name} takes "
      "its files from there)"
    ) from None
  finally:
    if os.path.exists(partial):
      os.remove(partial)


def _check(source: Source, path: str, sha256: str) -> None:
  """SourceError when it is not the published file, or not the one that came the first time."""
  note = path + ".sha256"
  if not source.sha256 and os.path.isfile(note):
    with open(note, encoding="utf-8") as file:
      first = file.read().strip()
  else:
    first = source.sha256
  if first and sha256 != first:
    changed = "is not the published file" if source.sha256 else f"has changed since ({note})"
    raise SourceError(f"{source.url} {changed}: sha256 {sha256}, not {first}")
  with open(note, "w", encoding="utf-8") as file:
    file.write(sha256 + "\n")
