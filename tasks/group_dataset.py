"""Data sets of groups on disk: written once, read at random, through tensorflow-datasets.

Array-record files, so nothing here imports TensorFlow. One row is one group:

  prompt, answer   text
  messages         text: a prompt of several messages, as JSON; "" if `prompt` is all of it
  responses        int32 [K, T]    right-padded
  mask             bool [K, T]     the response tokens that count
  finished         bool [K]        did the response end with EOS?
  rewards          float32 [K]
  logps            float32 [K, T]  under the policy that wrote the responses
"""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tasks.rows.row import Prompt, text_of

ARRAYS = {
  "responses": np.int32,
  "mask": np.bool_,
  "finished": np.bool_,
  "rewards": np.float32,
  "logps": np.float32,
}
_READ_AT_ONCE = 1024  # rows


def write(directory: str, rows: Iterable[dict], group_size: int, max_tokens: int) -> str:
  """Writes the rows, in order, below `directory`; returns the path to give to `read`.

  A row's "prompt" is a `tasks.rows.row.Prompt`.

  The data set appears under its path only when it is whole.
  """
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  shapes = {"finished": (group_size,), "rewards": (group_size,)}
  features = {
    name: tfds.features.Tensor(shape=shapes.get(name, (group_size, max_tokens)), dtype=dtype)
    for name, dtype in ARRAYS.items()
  }
  features |= {name: tfds.features.Text() for name in ("prompt", "messages", "answer")}

  # Unregistered: the class is made anew for each shape, and its name may stand only once.
  with tfds.core.registered.skip_registration():
    builder_class = _builder_class(tfds, features, map(_spelled, rows))
  builder = builder_class(data_dir=os.path.abspath(directory), file_format="array_record")
  builder.download_and_prepare()
  return str(builder.data_dir)


def _builder_class(tfds, features: dict, rows: Iterable[dict]):
  class Groups(tfds.core.GeneratorBasedBuilder):
    """Groups of responses, scored."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features),
        description="Responses sampled from a policy, scored, with their log-probs.",
        disable_shuffling=True,  # row i is group i
      )

    def _split_generators(self, dl_manager):
      del dl_manager
      return {"train": enumerate(rows)}

    def _generate_examples(self):
      raise NotImplementedError("the rows are given")

  return Groups


def _spelled(row: dict) -> dict:
  """The row with its prompt as text."""
  prompt = row["prompt"]
  messages = "" if isinstance(prompt, str) else json.dumps(prompt)
  return row | {"prompt": text_of(prompt), "messages": messages}


def _prompt(row: dict) -> Prompt:
  """The prompt that `_spelled` was given. Data sets of earlier versions have texts alone."""
  messages = json.loads(row.get("messages", b"") or "null")
  return tuple(map(tuple, messages)) if messages else row["prompt"].decode()


def path_in(directory: str) -> str:
  """The path of the data set that `write` put below `directory`; "" if there is none (whole)."""
  path = os.path.abspath(os.path.join(directory, "groups", "1.0.0"))
  return path if os.path.exists(os.path.join(path, "dataset_info.json")) else ""


def is_one(path: str) -> bool:
  """Whether `write` made this folder, and not something else of tensorflow-datasets."""
  try:
    with open(os.path.join(path, "features.json"), encoding="utf-8") as file:
      return '"finished"' in file.read()
  except OSError:
    return False


class StoredGroups(NamedTuple):
  """A data set of N groups, and the arrays [n, ...] of the n of them that are held."""

  count: int  # N
  texts: dict[int, tuple[Prompt, str]]  # row -> prompt, answer; of the held rows at least
  held: np.ndarray  # int [n], ascending
  arrays: dict[str, np.ndarray]

  def places(self, rows: np.ndarray) -> np.ndarray:
    """Where these rows, which must be held, are in the arrays."""
    return np.searchsorted(self.held, rows)

  def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of these rows, which must be held."""
    at = self.places(rows)
    return {name: array[at] for name, array in self.arrays.items()}


def read(path: str, hold: Callable[[int], np.ndarray] = np.arange) -> StoredGroups:
  """The rows, in the order written; arrays only of those that `hold(N)` names.

  FileNotFoundError if there is no data set.
  """
  if not os.path.exists(os.path.join(path, "dataset_info.json")):
    raise FileNotFoundError(f"no data set of groups in {path!r} (it would hold dataset_info.json)")
  import tensorflow_datasets as tfds

  source: Any = tfds.builder_from_directory(os.path.abspath(path)).as_data_source(split="train")
  held = np.unique(hold(len(source)))
  is_held = np.isin(np.arange(len(source)), held)
  texts, kept = {}, []
  for start in range(0, len(source), _READ_AT_ONCE):
    some = range(start, min(start + _READ_AT_ONCE, len(source)))
    for i, row in zip(some, source.__getitems__(list(some)), strict=True):
      texts[i] = _prompt(row), row["answer"].decode()
      if is_held[i]:
        kept.append(row)
  arrays = {name: np.stack([row[name] for row in kept]) for name in ARRAYS}
  return StoredGroups(len(source), texts, held, arrays)
