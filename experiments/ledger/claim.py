"""What a claim is, and what came out of it: numbers with intervals, plots, and a verdict."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"


@dataclasses.dataclass(frozen=True)
class Figure:
  """One number of a finding. `low` and `high` are its 95 % interval, None where it is exact."""

  name: str
  value: float
  low: float | None = None
  high: float | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
  """A line (or points) of a plot; `low` and `high` are a band around y."""

  name: str
  x: Sequence[float]
  y: Sequence[float]
  low: Sequence[float] | None = None
  high: Sequence[float] | None = None
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
class Finding:
  """What an experiment showed.

  verdict: "holds", "does not hold", or "holds under <the condition>".
  summary: one or two sentences, with the numbers that decide.
  """

  verdict: str
  summary: str
  figures: Sequence[Figure]
  plots: Sequence[Plot]

  def __post_init__(self):
    if self.verdict not in (HOLDS, DOES_NOT_HOLD) and not self.verdict.startswith("holds under "):
      raise ValueError(f"verdict {self.verdict!r}")


@dataclasses.dataclass(frozen=True)
class Claim:
  """An experiment that tries one sentence of the literature."""

  name: str
  run: Callable[[], Finding]

  @property
  def quote(self) -> str:
    """The claim in one sentence, with its source: the first paragraph of the docstring."""
    return " ".join(inspect.getdoc(self.run).partition("\n\n")[0].split())

  @property
  def method(self) -> str:
    """What is computed: the rest of the docstring."""
    return inspect.getdoc(self.run).partition("\n\n")[2].strip()
