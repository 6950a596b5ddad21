"""Data sets of groups on disk: written once, read at random, through tensorflow-datasets.

Array-record files, so nothing here imports TensorFlow. One row is one group:

  prompt, answer   text
  responses        int32 [K, T]    right-padded
  mask             bool [K, T]     the response tokens that count
  finished         bool [K]        did the response end with EOS?
  rewards          float32 [K]
  logps            float32 [K, T]  under the policy that wrote the responses
"""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

ARRAYS = {
  "responses": np.int32,
  "mask": np.bool_,
  "finished": np.bool_,
  "rewards": np.float32,
  "logps": np.float32,
}


def write(directory: str, rows: Iterable[dict], group_size: int, max_tokens: int) -> str:
  """Writes the rows, in order, below `directory`; returns the path to give to `read`.

  The data set appears under its path only when it is whole.
  """
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  shapes = {"finished": (group_size,), "rewards": (group_size,)}
  features = {
    name: tfds.features.Tensor(shape=shapes.get(name, (group_size, max_tokens)), dtype=dtype)
    for name, dtype in ARRAYS.items()
  }
  features |= {"prompt": tfds.features.Text(), "answer": tfds.features.Text()}

  # Unregistered: the class is made anew for each shape, and its name may stand only once.
  with tfds.core.registered.skip_registration():
    builder_class = _builder_class(tfds, features, rows)
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


def path_in(directory: str) -> str:
  """The path of the data set that `write` put below `directory`; "" if there is none (whole)."""
  path = os.path.abspath(os.path.join(directory, "groups", "1.0.0"))
  return path if os.path.exists(os.path.join(path, "dataset_info.json")) else ""


class Rows(NamedTuple):
  """A data set of N groups: its texts, and its arrays [N, ...] by name."""

  prompts: list[str]
  answers: list[str]
  arrays: dict[str, np.ndarray]


def read(path: str) -> Rows:
  """All rows, in the order written. FileNotFoundError if there is no data set."""
  if not os.path.exists(os.path.join(path, "dataset_info.json")):
    raise FileNotFoundError(f"no data set of groups in {path!r} (it would hold dataset_info.json)")
  import tensorflow_datasets as tfds

  source = tfds.builder_from_directory(os.path.abspath(path)).as_data_source(split="train")
  rows: Any = source.__getitems__(list(range(len(source))))  # pyrefly: ignore[missing-attribute]
  prompts, answers = ([row[name].decode() for row in rows] for name in ("prompt", "answer"))
  return Rows(prompts, answers, {name: np.stack([row[name] for row in rows]) for name in ARRAYS})
