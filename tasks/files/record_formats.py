"""The records of one file, whatever its format: JSON lines, a JSON array, tables, Parquet, Arrow.

  .jsonl .ndjson        a record a line; lines of blanks are none
  .json                 an array of records, or a record a line
  .csv .tsv             a header, and a row a record; an empty cell is a gap
  .parquet              a row a record
  .arrow                a row a record, as `datasets` saves them

The first four may be compressed: .gz, .bz2, .xz, .zst. Texts are UTF-8, or UTF-16 or UTF-32 where
the file begins with that mark.
"""

import codecs
import csv
import io
import json
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.files.unpacking import Growth, UnpacksTooMuch, unpacked

TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
COLUMNS = (".parquet", ".arrow")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
# Others that people have, and what makes one of the above of them.
_CONVERT = {
  ".zip": "unzip it",
  ".tar": "unpack it",
  ".tgz": "unpack it",
  ".xlsx": "save it as .csv",
  ".yaml": "save it as .json",
  ".yml": "save it as .json",
  ".pkl": "save it as .jsonl: pandas.read_pickle(FILE).to_json(NEW, orient='records', lines=True)",
  ".feather": "save it as .parquet: pandas.read_feather(FILE).to_parquet(NEW)",
  ".txt": "rename it to .jsonl, .csv or .tsv, after what it holds",
}
_MARKS = {  # the longer first: that of UTF-32 begins with that of UTF-16
  codecs.BOM_UTF32_LE: "utf-32",
  codecs.BOM_UTF32_BE: "utf-32",
  codecs.BOM_UTF16_LE: "utf-16",
  codecs.BOM_UTF16_BE: "utf-16",
}


class RowFileError(ValueError):
  """The file as a whole cannot be read."""


class Unreadable(str):
  """Stands for the record of a line that holds none: says why."""


def suffix_of(path: str) -> str:
  """The name's end that says the format, ".jsonl" of "a.jsonl.gz"; "" if it is none that is read.

  RowFileError, with what to do, where it is one that can be made into one that is.
  """
  name = os.path.basename(path).lower()
  stem, last = os.path.splitext(name)
  packed = last in COMPRESSED
  suffix = os.path.splitext(stem)[1] if packed else last
  if suffix in TEXTS or (suffix in COLUMNS and not packed):
    return suffix
  if how := _CONVERT.get(suffix):
    raise RowFileError(f"{path}: files of rows end in {', '.join(TEXTS + COLUMNS)}; {how}")
  return ""


def records(path: str, bytes_read: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
  """(number from 1, record) of each; Unreadable in place of a record where a line holds none.

  Args:
    bytes_read: called now and then with how much of the file was read until then.
  Raises:
    RowFileError: the file is empty, cut off or none of these formats.
  """
  suffix = suffix_of(path)
  if not suffix:
    known = ", ".join(TEXTS + COLUMNS)
    raise RowFileError(f"{path}: files of rows end in {known}; {', '.join(COMPRESSED)} may follow")
  if os.path.getsize(path) == 0:
    raise RowFileError(f"{path}: the file is empty")
  yield from (_of_columns if suffix in COLUMNS else _of_texts)(path, suffix, bytes_read)


# --- texts --------------------------------------------------------------------------------------


def _of_texts(path: str, suffix: str, bytes_read: Callable[[int], None]):
  number = 0
  packed = os.path.splitext(path)[1].lower() if path.lower().endswith(COMPRESSED) else ""
  with open(path, "rb") as raw:
    opened = unpacked(raw, packed)
    try:
      for number, record in _records_of(opened, suffix):
        if number % 1000 == 0:
          bytes_read(raw.tell())
        yield number, record
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
      if not packed:
        raise
      raise RowFileError(
        f"{path}: cut off or no {packed} file, after row {number} ({error})"
      ) from None
    except UnpacksTooMuch as error:
      raise RowFileError(f"{path}: {error}; unpack it yourself if it is one") from None
    except UnicodeError as error:
      raise RowFileError(
        f"{path}: not UTF-8 after row {number}; save it as UTF-8 ({error})"
      ) from None
    except (csv.Error, json.JSONDecodeError) as error:
      raise RowFileError(f"{path}: after row {number}: {error}") from None


def _records_of(file: Any, suffix: str) -> Iterator[tuple[int, Any]]:
  start = file.peek(4096)[:4096]  # they stay to be read
  encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8-sig")
  if suffix in (".csv", ".tsv"):
    text = io.TextIOWrapper(file, encoding, newline="")
    return _rows_of_table(text, "\t" if suffix == ".tsv" else ",")
  if suffix == ".json" and _begins_with(start, encoding, "["):
    return _items(io.TextIOWrapper(file, encoding).read())
  lines = file if encoding == "utf-8-sig" else io.TextIOWrapper(file, encoding)
  return _lines(lines)


def _begins_with(start: bytes, encoding: str, character: str) -> bool:
  return start.decode(encoding, errors="ignore").lstrip()[:1] == character


def _lines(lines) -> Iterator[tuple[int, Any]]:
  """A row's number is its line's."""
  for number, line in enumerate(lines, start=1):
    if number == 1 and isinstance(line, bytes):
      line = line.removeprefix(codecs.BOM_UTF8)
    if line.strip():
      yield number, _record_of(line)


def _record_of(line: bytes | str) -> Any:
  try:
    text = line.decode("utf-8") if isinstance(line, bytes) else line
  except UnicodeDecodeError as error:
    return Unreadable(f"not UTF-8 (byte {error.start + 1} of the line)")
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    cut = "" if text.endswith("\n") else "; the file may be cut off here"
    return Unreadable(f"not JSON: {error.msg} (character {error.colno} of the line){cut}")
  except ValueError as error:  # a number of more digits than Python reads
    return Unreadable(f"not JSON that can be read: {str(error).partition(';')[0]}")
  except RecursionError:
    return Unreadable("not JSON that can be read: nested too deeply")


def _items(text: str) -> Iterator[tuple[int, Any]]:
  """The items of a JSON array. RowFileError where it is broken, for what follows is lost."""
  decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 0
  while True:
    at = _after_blanks(text, at)
    if text[at : at + 1] == "]":
      break
    if number:
      if text[at : at + 1] != ",":
        raise json.JSONDecodeError("no ',' or ']' follows; the file may be cut off", text, at)
      at = _after_blanks(text, at + 1)
    number += 1
    try:
      record, at = decoder.raw_decode(text, at)
    except RecursionError:
      raise json.JSONDecodeError("nested too deeply", text, at) from None
    except json.JSONDecodeError:
      raise
    except ValueError as error:
      raise json.JSONDecodeError(str(error).partition(";")[0], text, at) from None
    yield number, record
  if rest := text[at + 1 :].strip():
    raise json.JSONDecodeError(f"the array has ended, and {rest[:20]!r} follows", text, at + 1)


def _after_blanks(text: str, at: int) -> int:
  while at < len(text) and text[at] in " \t\r\n":
    at += 1
  return at


def _rows_of_table(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, Any]]:
  """Cells are texts, but for lists and objects, which are written as JSON."""
  csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # Python's own limit is 131,072 characters
  reader = csv.reader(text, delimiter=delimiter, strict=True)
  header = next(reader, [])
  for number, cells in enumerate(reader, start=1):
    if not cells:
      continue
    if len(cells) != len(header):
      yield number, Unreadable(f"{len(cells)} cells, under a header of {len(header)}")
      continue
    yield number, {name: _cell(value) for name, value in zip(header, cells, strict=True)}


def _cell(text: str) -> Any:
  if text[:1] in ("[", "{"):
    try:
      return json.loads(text)
    except (ValueError, RecursionError):
      return text  # words in brackets
  return text or None


# --- columns ------------------------------------------------------------------------------------


def _of_columns(path: str, suffix: str, bytes_read: Callable[[int], None]):
  import pyarrow

  number, size, growth = 0, os.path.getsize(path), Growth()
  try:
    for batch, share in (_parquet if suffix == ".parquet" else _arrow)(path):
      growth.add(_size(batch), size)
      for record in batch.to_pylist():
        number += 1
        yield number, record
      bytes_read(round(size * share))
  except UnpacksTooMuch as error:
    raise RowFileError(f"{path}: {error}; save it as .jsonl if it is one") from None
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
    reason, name = str(error).strip().partition("\n")[0], suffix[1:].capitalize()
    raise RowFileError(
      f"{path}: no whole {name} file; it may be cut off, after row {number} ({reason})"
    ) from None


def _size(batch: Any) -> int:
  """Bytes of a batch; a dictionary, which all batches share, is not counted again and again."""
  return sum(getattr(column, "indices", column).nbytes for column in batch.columns)


def _parquet(path: str) -> Iterator[tuple[Any, float]]:
  """Batches, each with the share of the rows that are read after it."""
  import pyarrow.parquet

  with pyarrow.parquet.ParquetFile(path) as file:
    done, count = 0, max(file.metadata.num_rows, 1)
    for batch in file.iter_batches(batch_size=1024):
      done += batch.num_rows
      yield batch, done / count


def _arrow(path: str) -> Iterator[tuple[Any, float]]:
  """Of a stream, as `datasets` writes, or of a file, which is Feather."""
  import pyarrow

  with pyarrow.memory_map(path) as file:
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if is_file:
      reader = pyarrow.ipc.open_file(file)
      batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
      batches = pyarrow.ipc.open_stream(file)
    size = max(os.path.getsize(path), 1)
    for batch in batches:
      for start in range(0, batch.num_rows, 1024):
        yield batch.slice(start, 1024), file.tell() / size
