"""JSON in files: whole ones, that appear at once, and ones of rows, that grow by a line each."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from training.errors import UserError


def write_atomically(path: str, text: str) -> None:
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  temporary = f"{path}.{os.getpid()}.tmp"
  with open(temporary, "w") as file:
    file.write(text)
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
  """The rows of a file, each with its "step"; and the lines that are none, of a power cut, say."""
  try:
    with open(path, "rb") as file:
      lines = file.read().split(b"\n")[:-1]  # the last has no newline: empty, or half-written
  except FileNotFoundError:
    return [], []
  rows, broken = [], []
  for line in lines:
    try:
      row = json.loads(line)
    except ValueError:
      row = None
    if isinstance(row, dict) and isinstance(row.get("step"), int):
      rows.append(row)
    else:
      broken.append(line)
  return rows, broken


def write_json(path: str, value: Any) -> None:
  write_atomically(path, json_text(value))


def json_text(value: Any) -> str:
  return json.dumps(value, indent=2) + "\n"


def read_json(path: str) -> dict[str, Any]:
  """The object in the file; {} if there is no file. UserError if it holds anything else."""
  text = read_text(path)
  try:
    found = json.loads(text) if text else {}
  except ValueError as error:
    raise UserError(f"{path} is damaged, no JSON ({error}): restore it, or move it away") from None
  if not isinstance(found, dict):
    raise UserError(f"{path} is damaged: it holds no JSON object. Restore it, or move it away")
  return found


def read_text(path: str) -> str:
  """ "" if there is no file."""
  try:
    with open(path, errors="replace") as file:
      return file.read()
  except (FileNotFoundError, NotADirectoryError):
    return ""
