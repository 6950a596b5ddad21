"""A claim, and the finding of its experiment: numbers with intervals, plots, and a verdict."""

import dataclasses
import importlib
import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from claims import sources

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"


@runtime_checkable
class Array(Protocol):
  """An array of numpy or jax."""

  def tolist(self) -> Any: ...


Number = float | int
Numbers = Sequence[Number | None] | Array  # None: a number that is missing or not finite


@dataclasses.dataclass(frozen=True)
class Figure:
  """One number of a finding. `low` and `high` bound its 95 % interval; None if it is exact."""

  name: str
  value: Number
  low: Number | None = None
  high: Number | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
  """A line (or points) of a plot; `low` and `high` are the edges of a band around y."""

  name: str
  x: Numbers
  y: Numbers
  low: Numbers | None = None
  high: Numbers | None = None
  points: bool = False  # draw markers, no line


@dataclasses.dataclass(frozen=True)
class Plot:
  """Axes and the curves on them. The labels give the units."""

  title: str
  x_label: str
  y_label: str
  curves: Sequence[Curve]
  log_x: bool = False
  log_y: bool = False


@dataclasses.dataclass(frozen=True)
class Subclaim:
  """One of several statements that a claim makes, with a verdict of its own."""

  statement: str
  holds: bool


@dataclasses.dataclass(frozen=True)
class Finding:
  """The outcome of an experiment.

  verdict: "holds", "does not hold", or "holds under <the condition>".
  summary: one or two sentences, with the numbers that decide.
  """

  verdict: str
  summary: str
  figures: Sequence[Figure]
  plots: Sequence[Plot]
  subclaims: Sequence[Subclaim] = ()

  def __post_init__(self):
    if self.verdict not in (HOLDS, DOES_NOT_HOLD) and not self.verdict.startswith("holds under "):
      raise ValueError(f"verdict {self.verdict!r}")


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of the literature and the experiment that tries it: the function `name` in `module`.

  The function takes no argument and returns a Finding. Its docstring's first paragraph is the
  sentence in quotes with its source in brackets, the rest describes the method. All of this is read
  from the source text, so that the claims can be listed before jax is imported.
  """

  name: str
  module: str

  def run(self) -> Finding:
    return getattr(importlib.import_module(self.module), self.name)()

  @property
  def quote(self) -> str:
    """The claim in one sentence."""
    return self._sentence()[0]

  @property
  def source(self) -> str:
    """The publication that makes the claim."""
    return self._sentence()[1]

  @property
  def method(self) -> str:
    """The experiment in words: the docstring after its first paragraph."""
    return sources.docstring(self.module, self.name).partition("\n\n")[2].strip()

  @property
  def digest(self) -> str:
    """Changes when the code that the experiment runs does."""
    return sources.digest(self.module, self.name)

  def _sentence(self) -> tuple[str, str]:
    text = " ".join(sources.docstring(self.module, self.name).partition("\n\n")[0].split())
    quoted = re.fullmatch(r'"(.*?)" \((.*?)\.?\)\.?', text)
    return (quoted[1], quoted[2]) if quoted else (text, "")
