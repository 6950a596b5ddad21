"""From files of rows to a data set of tensorflow-datasets, without TensorFlow.

It lies in DATA_DIR/NAME/CONTENT/1.0.0, CONTENT being a hash of the files and of the code that reads
them: what has changed under the same name is built anew, never served stale. DATA_DIR/NAME/current
names the CONTENT that was built, or asked for, last.
"""

import contextlib
import dataclasses
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tasks.code import fingerprints
from tasks.datasets import sources
from tasks.datasets.data_set import DataSet
from tasks.files import row_files
from tasks.files.record_formats import RowFileError
from tasks.rows.prompt_keys import keys_of, shared_prompts, split_by_prompt
from tasks.rows.row import BadRows, Problem, Row, messages_of
from tasks.rows.row_names import AS_SPELLED

VERSION = "1.0.0"
CURRENT, BAD_ROWS, FILE = "current", "bad_rows.jsonl", "file"


@dataclasses.dataclass(frozen=True)
class Plan:
  """A data set to build, and its place."""

  data_set: DataSet
  paths: Mapping[str, Sequence[str]]  # the files of each split
  directory: str  # DATA_DIR/NAME
  content: str  # names the version of the files

  @classmethod
  def of(cls, data_set: DataSet, paths: Mapping[str, Sequence[str]], data_dir: str) -> "Plan":
    directory = os.path.join(os.path.abspath(os.path.expanduser(data_dir)), data_set.name)
    return cls(data_set, paths, directory, _content(data_set, paths))

  @property
  def path(self) -> str:
    return os.path.join(self.directory, self.content, VERSION)

  @property
  def is_built(self) -> bool:
    return os.path.exists(os.path.join(self.path, "dataset_info.json"))

  def claim(self, file: str) -> None:
    """Keeps the name for data sets of this file. RowFileError if it is another file's.

    Two projects may each have a train.jsonl.
    """
    os.makedirs(self.directory, exist_ok=True)
    note = os.path.join(self.directory, FILE)
    if os.path.exists(note):
      with open(note, encoding="utf-8") as known:
        other = known.read().strip()
      if other != file:
        name = self.data_set.name
        raise RowFileError(
          f"{name} in {os.path.dirname(self.directory)} is of {other}: give this file another "
          f"--name, such as {name.removeprefix('local_')}_2 (delete {note} if that file has moved)"
        )
      return
    with open(note, "w", encoding="utf-8") as mine:
      mine.write(file + "\n")

  def make_current(self) -> None:
    """Makes it the version that is read under the data set's name."""
    partial = os.path.join(self.directory, f"{CURRENT}.{os.getpid()}.partial")
    with open(partial, "w", encoding="utf-8") as file:
      file.write(self.content + "\n")
    os.replace(partial, os.path.join(self.directory, CURRENT))


def read_files(
  plan: Plan, skip_bad_rows: bool, advance: Callable[[int], None] = lambda rows: None
) -> tuple[dict[str, Sequence[Row]], list[Problem]]:
  """The rows of each split, and what is wrong with those left out.

  Raises:
    BadRows: there are bad rows and they may not be skipped; all of them, of all files.
    RowFileError: a file as a whole cannot be read, or has no good row.
    ValueError: there are too few prompts to hold some out.
  """
  splits: dict[str, Sequence[Row]] = {}
  problems: list[Problem] = []
  for split, paths in plan.paths.items():
    read = [row_files.read(path, plan.data_set.reads, advance) for path in paths]
    splits[split] = [row for rows_of_file, _ in read for row in rows_of_file]
    problems += [problem for _, wrong in read for problem in wrong]
  if "test" in splits:
    shared = shared_prompts(splits["train"], splits["test"])
    left_out = {problem.where for problem in shared}
    splits["train"] = [row for row in splits["train"] if row.where not in left_out]
    problems += shared
  if problems and not skip_bad_rows:
    raise BadRows(problems)
  for split, rows_of_split in splits.items():
    if not rows_of_split:
      raise RowFileError(f"{plan.paths[split][0]}: no good row; the first problem: {problems[0]}")
  if "test" not in splits and plan.data_set.held_out > 0:
    prompts = len(np.unique(keys_of(splits["train"])))
    held_out = max(1, round(plan.data_set.held_out * prompts))
    splits["train"], splits["test"] = split_by_prompt(splits["train"], held_out)
  return splits, problems


def write(
  plan: Plan,
  splits: Mapping[str, Sequence[Row]],
  problems: Sequence[Problem] = (),
  advance: Callable[[int], None] = lambda rows: None,
) -> None:
  """Builds the data set; it appears under its path when it is whole. Bad rows are listed in it."""
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  # Unregistered: several data sets may be built in one process, and a name may stand only once.
  with tfds.core.registered.skip_registration():
    builder_class = _builder_class(tfds, plan.data_set, splits, advance)
  with _quiet():
    builder = builder_class(
      data_dir=os.path.dirname(plan.directory),
      file_format="array_record",
      config=tfds.core.BuilderConfig(name=plan.content),
    )
    builder.download_and_prepare()
  if problems:
    row_files.list_bad_rows(os.path.join(plan.path, BAD_ROWS), problems)
  plan.make_current()


def features(tfds) -> dict[str, Any]:
  """A row: K responses of any K, none of them in a data set of prompts.

  `logps` are the log-probs of all responses in a row, `logp_lengths` how many are of each.
  """
  texts = tfds.features.Tensor(shape=(None,), dtype=np.str_)
  return {
    "roles": texts,
    "contents": texts,
    "responses": texts,
    "scores": tfds.features.Tensor(shape=(None,), dtype=np.float32),  # NaN: unscored
    "logps": tfds.features.Tensor(shape=(None,), dtype=np.float32),
    "logp_lengths": tfds.features.Tensor(shape=(None,), dtype=np.int64),
    "answer": tfds.features.Text(),
    "where": tfds.features.Text(),
  }


def example_of(row: Row) -> dict[str, Any]:
  """The row as the features have it."""
  messages, logps = messages_of(row.prompt), row.logps or ()
  return {
    "roles": np.array([message["role"] for message in messages], object),
    "contents": np.array([message["content"] for message in messages], object),
    "responses": np.array(row.responses, object),
    "scores": np.array([np.nan if s is None else s for s in row.scores], np.float32),
    "logps": np.array([x for one in logps for x in one], np.float32),
    "logp_lengths": np.array([len(one) for one in logps], np.int64),
    "answer": row.answer,
    "where": row.where,
  }


def _builder_class(tfds, data_set: DataSet, splits: Mapping[str, Sequence[Row]], advance):
  def examples(of_split: Sequence[Row]) -> Iterator[tuple[int, dict]]:
    for number, row in enumerate(of_split):
      yield number, example_of(row)
      if number % 1000 == 999:
        advance(1000)
    advance(len(of_split) % 1000)

  class Builder(tfds.core.GeneratorBasedBuilder):
    """Rows that were read from files."""

    name = data_set.name
    VERSION = tfds.core.Version(VERSION)

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features(tfds)),
        description=data_set.description,
        homepage=data_set.homepage or None,
        license=data_set.licence or None,
        citation=data_set.citation or None,
        disable_shuffling=True,  # row i is the file's
      )

    def _split_generators(self, dl_manager):
      del dl_manager  # the files are here
      return {split: examples(of_split) for split, of_split in splits.items()}

    def _generate_examples(self):
      raise NotImplementedError("each split has its own generator")

  return Builder


def _content(data_set: DataSet, paths: Mapping[str, Sequence[str]]) -> str:
  digest = hashlib.sha256(f"{VERSION} {data_set.held_out}".encode())
  if data_set.names != AS_SPELLED:
    digest.update(repr(data_set.names).encode())
  for split, files in sorted(paths.items()):
    digest.update(" ".join([split, *map(sources.sha256_of, files)]).encode())
  here = [f"{__name__}:{function.__name__}" for function in (read_files, example_of, features)]
  parse = f"{data_set.parse.__module__}:{data_set.parse.__qualname__}"
  digest.update(fingerprints.of(*here, parse).encode())
  return digest.hexdigest()[:12]


@contextlib.contextmanager
def _quiet():
  """Without tensorflow-datasets' warning of a config that it does not know, and its path."""
  logger = logging.getLogger("absl")
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logger.setLevel(level)
