"""Any file of pairs or groups of the user's own, as a data set."""

import os

from tasks.datasets.data_set import DataSet, Source
from tasks.rows.row_names import AS_SPELLED, RowNames


def local(
  file: str,
  test_file: str = "",
  held_out: float = 0.1,
  name: str = "",
  names: RowNames = AS_SPELLED,
) -> DataSet:
  """The data set of these files, named after the first: `pairs.jsonl` is "local_pairs"."""
  stem = (name.removeprefix("local_") or os.path.basename(file).partition(".")[0]).lower()
  name = "local_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in stem)
  sources = {"train": (Source("", os.path.abspath(file)),)}
  if test_file:
    sources["test"] = (Source("", os.path.abspath(test_file)),)
  about = f"The rows of {os.path.basename(file)}."
  return DataSet(name, about, sources, held_out=held_out, names=names)
