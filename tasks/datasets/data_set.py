"""A data set's name, sources and spelling."""

import dataclasses
from collections.abc import Mapping
from functools import partial

from tasks.files.row_files import Parse
from tasks.rows import row_spellings
from tasks.rows.row_names import AS_SPELLED, RowNames


@dataclasses.dataclass(frozen=True)
class Source:
  """A file that is published, or a file of the user's."""

  url: str  # "": it is only found in a folder
  filename: str  # in the manual folder, and of the download
  # Of the published file, where it is known. Where it is not, the first download's is noted, and
  # one that differs later is refused.
  sha256: str = ""
  # Another name under which the same rows may lie in the manual folder.
  other_filename: str = ""


@dataclasses.dataclass(frozen=True)
class DataSet:
  """Rows in splits ("train" and "test"), and who made them."""

  name: str
  description: str
  sources: Mapping[str, tuple[Source, ...]]  # of each split
  homepage: str = ""
  licence: str = ""
  citation: str = ""
  parse: Parse = row_spellings.parse
  names: RowNames = AS_SPELLED  # of the columns, in a file of the user's
  # Share of the prompts whose rows are kept back as "test", where no source is.
  held_out: float = 0.1

  @property
  def reads(self) -> Parse:
    """A row from what a line holds."""
    if self.names == AS_SPELLED:
      return self.parse
    return partial(row_spellings.parse, names=self.names)
