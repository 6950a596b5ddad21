"""What a claim is, and what came out of it: numbers with intervals, plots, and a verdict."""

import dataclasses
import importlib
import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from claims import sources

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"


@runtime_checkable
class Array(Protocol):
  """numpy's or jax's."""

  def tolist(self) -> Any: ...


Number = float | int
Numbers = Sequence[Number | None] | Array  # None where there is none, or it is not finite


@dataclasses.dataclass(frozen=True)
class Figure:
  """One number of a finding. `low` and `high` are its 95 % interval, None where it is exact."""

  name: str
  value: Number
  low: Number | None = None
  high: Number | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
  """A line (or points) of a plot; `low` and `high` are a band around y."""

  name: str
  x: Numbers
  y: Numbers
  low: Numbers | None = None
  high: Numbers | None = None
  points: bool = False  # draw markers, no line


@dataclasses.dataclass(frozen=True)
class Plot:
  """Axes and what is drawn on them. The labels give units."""

  title: str
  x_label: str
  y_label: str
  curves: Sequence[Curve]
  log_x: bool = False
  log_y: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
  """One of several statements that a claim makes, tried by itself."""

  statement: str
  holds: bool


@dataclasses.dataclass(frozen=True)
class Finding:
  """What an experiment showed.

  verdict: "holds", "does not hold", or "holds under <the condition>".
  summary: one or two sentences, with the numbers that decide.
  """

  verdict: str
  summary: str
  figures: Sequence[Figure]
  plots: Sequence[Plot]
  parts: Sequence[Part] = ()

  def __post_init__(self):
    if self.verdict not in (HOLDS, DOES_NOT_HOLD) and not self.verdict.startswith("holds under "):
      raise ValueError(f"verdict {self.verdict!r}")


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of the literature and the experiment that tries it: a function of its name.

  The function takes nothing and returns a Finding. Its docstring's first paragraph is the sentence
  in quotes and its source, the rest is the method. All that is read from the source text, so that
  the claims can be listed before jax is imported.
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
    """Who says so."""
    return self._sentence()[1]

  @property
  def method(self) -> str:
    """What is computed: the docstring after its first paragraph."""
    return sources.docstring(self.module, self.name).partition("\n\n")[2].strip()

  @property
  def digest(self) -> str:
    """Changes when the code that the experiment runs does."""
    return sources.digest(self.module, self.name)

  def _sentence(self) -> tuple[str, str]:
    text = " ".join(sources.docstring(self.module, self.name).partition("\n\n")[0].split())
    quoted = re.fullmatch(r'"(.*?)" \((.*?)\.?\)\.?', text)
    return (quoted[1], quoted[2]) if quoted else (text, "")
