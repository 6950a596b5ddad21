"""Data sets that clients upload: preferences, scored groups, demonstrations, in any spelling.

  files/file-….rows.jsonl   the rows, under an ending that says how they are read
  files/file-….about.json   OpenAI's object of the file, written last: a file without it is none

A file is checked when it comes: an upload with a row that cannot be used is refused, and all of its
problems are named.
"""

import contextlib
import os
import secrets
import shutil
import time
from typing import Any

from serving.errors import ApiError, conflict, invalid, no_room, not_found
from serving.lines import sync_folder
from serving.state import is_full
from tasks.files import record_formats, row_files
from tasks.files.record_formats import RowFileError
from tasks.rows.row import BadRows
from training.records.files import read_json, write_json

MOST = 1000  # files
_ABOUT = ".about.json"


class Files:
  """The uploaded files below `folder`."""

  def __init__(self, folder: str):
    self._folder = folder
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):  # of an upload that a killed process had not accepted
      file_id = name.partition(".")[0]
      if not os.path.exists(self._about(file_id)):
        os.remove(os.path.join(folder, name))

  def add(self, upload: Any, filename: str, purpose: str) -> dict[str, Any]:
    """Keeps an upload, an open file of bytes. ApiError names all that is wrong with its rows."""
    if purpose != "fine-tune":
      raise invalid("purpose", f"'purpose' must be fine-tune, and is {purpose!r}.")
    if len(self.list()) >= MOST:
      raise ApiError(429, f"{MOST} files are here: delete some.", code="too_many_files")
    ending = _ending(filename)
    file_id = f"file-{secrets.token_hex(12)}"
    path = os.path.join(self._folder, f"{file_id}.rows{ending}")
    try:
      with open(path, "xb") as file:
        shutil.copyfileobj(upload, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
      about = {"id": file_id, "object": "file", "bytes": os.path.getsize(path)}
      about |= {"created_at": int(time.time()), "filename": filename[:200], "purpose": purpose}
      about |= _checked(path, filename) | {"status": "processed", "rows_file": path}
      write_json(self._about(file_id), about | {"rows_file": os.path.basename(path)})
      sync_folder(self._folder)
    except BaseException as error:
      for left in (path, self._about(file_id)):
        if os.path.exists(left):
          os.remove(left)
      if is_full(error):
        raise no_room("this file is not kept") from None
      raise
    return shown(about)

  def list(self) -> list[dict[str, Any]]:
    """OpenAI's objects, the latest first."""
    names = [name for name in os.listdir(self._folder) if name.endswith(_ABOUT)]
    abouts = [self._read(name.removesuffix(_ABOUT)) for name in names]
    found = [about for about in abouts if about]  # one may have been deleted meanwhile
    return sorted(found, key=lambda about: (-about["created_at"], about["id"]))

  def get(self, file_id: str) -> dict[str, Any]:
    """The object, with the path of the rows as "rows_file". ApiError: there is none."""
    is_name = file_id.replace("-", "").isalnum() and file_id.startswith("file-")
    if not (is_name and (about := self._read(file_id))):
      raise not_found("file", file_id, "file_id")
    return about

  def delete(self, file_id: str, used_by: str) -> dict[str, Any]:
    """Removes it. ApiError if a job (`used_by`, else "") still has to read it."""
    about = self.get(file_id)
    if used_by:
      raise conflict(f"{used_by} trains on {file_id}: cancel it first.", "file_in_use")
    for path in (self._about(file_id), about["rows_file"]):
      with contextlib.suppress(FileNotFoundError):  # another request deletes it as well
        os.remove(path)
    return {"id": file_id, "object": "file", "deleted": True}

  def _read(self, file_id: str) -> dict[str, Any]:
    """The object with the path of its rows, wherever the folder lies by now; {}: there is none."""
    about = read_json(self._about(file_id))
    name = os.path.basename(about.get("rows_file", ""))
    return about and about | {"rows_file": os.path.join(self._folder, name)}

  def _about(self, file_id: str) -> str:
    return os.path.join(self._folder, file_id + _ABOUT)


def shown(about: dict[str, Any]) -> dict[str, Any]:
  """The object that clients see."""
  return {name: value for name, value in about.items() if name != "rows_file"}


def _ending(filename: str) -> str:
  """The end of the name that says the format, ".jsonl.gz"."""
  try:
    suffix = record_formats.suffix_of(filename)
  except RowFileError as error:
    raise invalid("file", str(error), "invalid_file_format") from None
  if not suffix:
    kinds = ", ".join((*record_formats.TEXTS, *record_formats.COLUMNS))
    raise invalid("file", f"{filename!r}: its name must end with {kinds}.", "invalid_file_format")
  return filename[filename.lower().rindex(suffix) :].lower()


def _checked(path: str, filename: str) -> dict[str, Any]:
  """How many rows there are, and the fewest and most responses of one. ApiError: all problems."""
  try:
    rows, problems = row_files.read(path)
  except RowFileError as error:
    raise invalid("file", str(error).replace(path, filename), "invalid_file_format") from None
  if problems:
    said = str(BadRows(problems, len(rows))).replace(os.path.basename(path), filename)
    raise invalid("file", f"{filename} has rows that cannot be used:\n{said}", "invalid_rows")
  sizes = [len(row.responses) for row in rows]
  return {"rows": len(rows), "fewest_responses": min(sizes), "most_responses": max(sizes)}
