"""Rows of a data set that was built, read at random."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.datasets.building import CURRENT, VERSION
from tasks.rows import row_spellings
from tasks.rows.row import Row, prompt_of


class NotBuilt(ValueError):
  """There is no such data set; says what to type."""


def default_data_dir() -> str:
  """The folder in which tensorflow-datasets keeps what it built."""
  return os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")


def is_data_set(path: str) -> bool:
  """Whether the folder holds a data set of tensorflow-datasets.

  Others have a dataset_info.json, too.
  """
  names = ("dataset_info.json", "features.json")
  return all(os.path.exists(os.path.join(path, name)) for name in names)


def folder_of(name: str, data_dir: str) -> str:
  """The folder of the data set of this name that was built last. NotBuilt if there is none."""
  directory = os.path.join(os.path.abspath(os.path.expanduser(data_dir)), name)
  try:
    with open(os.path.join(directory, CURRENT), encoding="utf-8") as file:
      path = os.path.join(directory, file.read().strip(), VERSION)
  except OSError:
    path = ""
  if not path or not is_data_set(path):
    raise NotBuilt(f"{name} is not built in {data_dir}: python -m tasks.build {name}")
  return path


class BuiltRows:
  """The rows of one split. A random-access source, as grain takes it (`MapDataset.source`)."""

  def __init__(self, path: str, split: str = "train"):
    """`path`: of any data set whose examples have the fields of a spelling of rows, or ours.

    Raises:
      NotBuilt: there is no data set, or it has no such split.
    """
    import tensorflow_datasets as tfds

    if not is_data_set(path):
      raise NotBuilt(f"no data set in {path!r} (it would hold dataset_info.json)")
    builder = tfds.builder_from_directory(os.path.abspath(path))
    if split not in builder.info.splits:
      raise NotBuilt(f"{path} has no split {split!r}: {', '.join(builder.info.splits)}")
    self._source: Any = builder.as_data_source(split=split)
    self._is_ours = "logp_lengths" in builder.info.features
    self._where = f"{builder.name} {split}"

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Row:
    if index >= len(self):
      raise IndexError(index)
    return self.__getitems__([index])[0]

  def __getitems__(self, indices: Sequence[int]) -> list[Row]:
    """BadRows when a foreign example is no row."""
    examples = self._source.__getitems__(list(indices))
    if self._is_ours:
      return [_row(example) for example in examples]
    return [
      row_spellings.parse(_plain(example), f"{self._where} row {index + 1}")
      for index, example in zip(indices, examples, strict=True)
    ]


def read_all(path: str, split: str) -> list[Row]:
  """All rows of a split, in order."""
  rows = BuiltRows(path, split)
  return rows.__getitems__(range(len(rows)))


def splits_of(path: str) -> tuple[str, ...]:
  """The names of the splits of the data set in this folder."""
  import tensorflow_datasets as tfds

  return tuple(tfds.builder_from_directory(os.path.abspath(path)).info.splits)


def _row(example: dict[str, Any]) -> Row:
  messages = (
    {"role": role.decode(), "content": content.decode()}
    for role, content in zip(example["roles"], example["contents"], strict=True)
  )
  logps, ends = None, np.cumsum(example["logp_lengths"])
  if len(ends):
    logps = tuple(tuple(map(float, one)) for one in np.split(example["logps"], ends[:-1]))
  return Row(
    prompt_of(messages),
    tuple(response.decode() for response in example["responses"]),
    tuple(None if np.isnan(score) else float(score) for score in example["scores"]),
    logps,
    example["answer"].decode(),
    example["where"].decode(),
  )


def _plain(value: Any) -> Any:
  """The value in Python's own types. (A sequence of dicts comes as a dict of sequences.)"""
  if isinstance(value, bytes):
    return value.decode()
  if isinstance(value, np.ndarray):
    return [_plain(one) for one in value.tolist()]
  if isinstance(value, np.generic):
    return value.item()
  if isinstance(value, list | tuple):
    return [_plain(one) for one in value]
  if isinstance(value, dict):
    plain = {key: _plain(one) for key, one in value.items()}
    for keys in ({"role", "content"}, {"response", "score"}):
      if keys <= plain.keys() and all(isinstance(plain[key], list) for key in plain):
        columns = plain.values()
        return [dict(zip(plain, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return plain
  return value
