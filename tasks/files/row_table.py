"""Many rows: held in memory, or in a folder of which a row is read when it is asked for."""

import dataclasses
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from tasks.rows import prompt_keys
from tasks.rows.prompt_keys import Keys
from tasks.rows.row import Problem, Row

_ROWS, _ARRAYS, _ABOUT = "rows.jsonl", "arrays.npz", "about.json"


@dataclasses.dataclass(frozen=True)
class RowTable:
  """N rows, what must be known of all of them, and the problems of those that are none."""

  rows: Sequence[Row]
  keys: Keys  # of the prompts (prompt_keys.py)
  sizes: Int[np.ndarray, " N"]  # K, the responses
  answered: Bool[np.ndarray, " N"]
  known: Bool[np.ndarray, " N"]  # does the row say its log-probs?
  problems: tuple[Problem, ...]
  unread: Mapping[str, int]  # in how many rows a key is that is not read

  def __len__(self) -> int:
    return len(self.keys)


def in_memory(found: Iterable[Row | Sequence[Problem]]) -> RowTable:
  """The table of rows as they are read, each a row or what is wrong with it."""
  rows: list[Row] = []
  about = _About()
  for one in found:
    if (row := about.add(one)) is not None:
      rows.append(row)
  return RowTable(rows, *about.arrays(), tuple(about.problems), about.unread())


def write(folder: str, found: Iterable[Row | Sequence[Problem]]) -> None:
  """The same in a folder, which appears when it is whole."""
  partial = f"{folder}.{os.getpid()}.partial"
  os.makedirs(partial)
  about, ends = _About(), [0]
  try:
    with open(os.path.join(partial, _ROWS), "wb") as file:
      for one in found:
        if (row := about.add(one)) is not None:
          ends.append(ends[-1] + file.write(_packed(row)))
    np.savez(os.path.join(partial, _ARRAYS), np.array(ends), *about.arrays())
    with open(os.path.join(partial, _ABOUT), "w", encoding="utf-8") as file:
      problems = [(problem.where, problem.what) for problem in about.problems]
      json.dump({"problems": problems, "unread": about.unread()}, file)
    if not os.path.exists(folder):
      os.replace(partial, folder)
  finally:
    shutil.rmtree(partial, ignore_errors=True)


def read(folder: str) -> RowTable:
  """The table that `write` made."""
  with np.load(os.path.join(folder, _ARRAYS), allow_pickle=False) as file:
    ends, keys, sizes, answered, known = (file[name] for name in file.files)
  with open(os.path.join(folder, _ABOUT), encoding="utf-8") as file:
    found = json.load(file)
  problems = tuple(Problem(*pair) for pair in found["problems"])
  rows = _Stored(os.path.join(folder, _ROWS), ends)
  return RowTable(rows, keys, sizes, answered, known, problems, found["unread"])


class _About:
  """Facts of all rows, gathered as they come."""

  def __init__(self) -> None:
    self.problems: list[Problem] = []
    self._prompts: list[bytes | str] = []
    self._facts: list[tuple[int, bool, bool]] = []
    self._unread: Counter[tuple[str, ...]] = Counter()

  def add(self, one: Row | Sequence[Problem]) -> Row | None:
    """The row, if it is one."""
    if not isinstance(one, Row):
      self.problems += one
      return None
    self._prompts.append(prompt_keys.known_of(one))
    self._unread[one.unread] += 1
    self._facts.append((len(one.responses), bool(one.answer), one.logps is not None))
    return one

  def unread(self) -> dict[str, int]:
    """In how many rows each key is that is not read, the most common first."""
    counts: Counter[str] = Counter()
    for keys, rows in self._unread.items():
      counts.update(dict.fromkeys(keys, rows))
    return dict(counts.most_common())

  def arrays(self) -> tuple[Keys, np.ndarray, np.ndarray, np.ndarray]:
    facts = np.array(self._facts, np.int32).reshape(-1, 3)
    keys = prompt_keys.joined(self._prompts)
    return keys, facts[:, 0], facts[:, 1].astype(bool), facts[:, 2].astype(bool)


class _Stored(Sequence):
  """Rows of a file, each read when it is asked for. (Mapped, the file would count as memory.)"""

  def __init__(self, path: str, ends: np.ndarray):
    self._file, self._ends = open(path, "rb", buffering=0), ends

  def __len__(self) -> int:
    return len(self._ends) - 1

  def __getitem__(self, index: int) -> Row:  # pyrefly: ignore
    start, end = int(self._ends[index]), int(self._ends[index + 1])
    return _unpacked(os.pread(self._file.fileno(), end - start, start))


def _packed(row: Row) -> bytes:
  fields = {name: value for name, value in vars(row).items() if name != "unread"}  # counted
  return (json.dumps(fields, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _unpacked(text: bytes) -> Row:
  fields = json.loads(text.decode("utf-8", "surrogatepass"))
  return Row(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
