"""The names that a config gives to the columns of its rows, where they are not known ones."""

import dataclasses
import functools

PARTS = ("prompt", "chosen", "rejected", "responses", "scores", "answer")


@dataclasses.dataclass(frozen=True)
class RowNames:
  """The key of each part, as config.data has it. "": any of `key_table`."""

  prompt: str = ""
  chosen: str = ""
  rejected: str = ""
  responses: str = ""
  scores: str = ""
  answer: str = ""
  ignore: tuple[str, ...] = ()  # keys, of rows and of messages, that are left out without a word

  @classmethod
  def of(cls, **fields: str) -> "RowNames":
    """Of the fields of config.data; `ignore` is "tools,images"."""
    ignore = (key.strip() for key in fields.pop("ignore", "").split(","))
    return cls(**fields, ignore=tuple(sorted(filter(None, ignore))))

  def __hash__(self) -> int:
    return self._hash

  @functools.cached_property
  def _hash(self) -> int:
    return hash(dataclasses.astuple(self))

  def given(self) -> dict[str, str]:
    """Part -> key, of the parts that have a name."""
    return {part: key for part in PARTS if (key := getattr(self, part))}


AS_SPELLED = RowNames()
