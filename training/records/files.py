"""JSON in files: whole ones, that appear at once, and ones of rows, that grow by a line each.

And checksums of a checkpoint's files, in such a file.
"""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from training.errors import UserError

CHECKSUMS = "checksums.json"
SEALED = "has_checksums"  # noted in a checkpoint that is to have them
_ABOUT = "_CHECKPOINT_METADATA"  # Orbax's name
_BLOCK = 1 << 24  # bytes that a thread reads at a time
_STEP = re.compile(rb'\{"step": (\d{1,15})[,}]')


def write_atomically(path: str, text: str) -> None:
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  temporary = f"{path}.{os.getpid()}.tmp"
  try:
    with open(temporary, "w") as file:
      file.write(text)
    os.replace(temporary, path)
  except OSError:  # of a full disk, say
    with contextlib.suppress(OSError):
      os.remove(temporary)
    raise


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
  """A file to write, which takes the place of the one at `path` when all has gone well."""
  temporary = f"{path}.{os.getpid()}.tmp"
  with open(temporary, "wb") as file:
    yield file
  os.replace(temporary, path)


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


def read_rows(path: str) -> tuple[list[dict[str, Any]], list[bytes]]:
  """The rows of a file, each with its "step"; and the lines that are none, of a power cut, say.

  UserError if it cannot be read at all.
  """
  rows, broken = [], []
  for line, row in each_row(path):
    if row is None:
      broken.append(line)
    else:
      rows.append(row)
  return rows, broken


def each_row(path: str) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
  """Each line of a file of rows, and the row that it is, or None; no more than some at a time."""
  for lines in blocks(path):
    for line in lines:
      yield line, row_of(line)


def blocks(path: str, size: int = 1 << 20) -> Iterator[list[bytes]]:
  """The whole lines of a file, about so many bytes of them at a time; none without a file.

  A last line without its end is half-written: none, as yet.
  """
  try:
    file = open(path, "rb")
  except (FileNotFoundError, NotADirectoryError):
    return
  except OSError as error:  # a folder in its place, or nothing for us to read
    raise UserError(f"{path} cannot be read: {error.strerror}") from None
  with file:
    while lines := file.readlines(size):
      whole = [line[:-1] for line in lines if line.endswith(b"\n")]
      if whole:
        yield whole


def row_of(line: bytes) -> dict[str, Any] | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return row if is_row(row) else None


def is_row(value: Any) -> bool:
  return isinstance(value, dict) and isinstance(value.get("step"), int)


def read_ends(path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  """The rows of the first step that a file has, and of the last; the rest is read and forgotten."""
  first: list[bytes] = []
  last: list[bytes] = []
  steps: list[int] = []  # of the first, and of the last until now
  for lines in blocks(path):
    for line in lines:
      step = _step_of(line)
      if step is None:
        continue
      if not steps:
        steps = [step, step]
      if step == steps[0]:
        first.append(line)
      if step != steps[1]:
        steps[1], last = step, []
      last.append(line)
  ends = [[row for line in found if (row := row_of(line)) is not None] for found in (first, last)]
  return ends[0], ends[1]


def _step_of(line: bytes) -> int | None:
  if found := _STEP.match(line):  # as we write them: no need to read all of a long text
    return int(found[1])
  row = row_of(line)
  return None if row is None else row["step"]


def write_json(path: str, value: Any) -> None:
  write_atomically(path, json_text(value))


def json_text(value: Any) -> str:
  return json.dumps(value, indent=2) + "\n"


def read_json(path: str, needs: Mapping[str, type] | None = None) -> dict[str, Any]:
  """The object in the file; {} if there is no file.

  UserError if it holds anything else (nothing, too), or lacks one of the keys that it `needs`, with
  a value of this type.
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
  for key, kind in (needs or {}).items():
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


# --- checksums -----------------------------------------------------------------------------------


def write_checksums(folder: str) -> None:
  """Keeps in the folder how long its files are, and a digest of each: blake2b, in threads."""
  names = _files_below(folder)
  sums = zip(names, _digests(folder, names), strict=True)
  found = {name: [os.path.getsize(os.path.join(folder, name)), digest] for name, digest in sums}
  write_json(os.path.join(folder, CHECKSUMS), found)


def is_unfinished(folder: str) -> bool:
  """Whether a checkpoint was stopped before its checksums were there."""
  has_checksums = os.path.exists(os.path.join(folder, CHECKSUMS))
  return not has_checksums and SEALED in (_noted(folder) or {})


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
  """The first file of a checkpoint that is not as `write_checksums` found it, and why; or None.

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
