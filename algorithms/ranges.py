"""The values that hyperparameters may take, by the name of their type, and why no others.

A loss says `beta: Beta = 0.1`; the type's range is checked when the loss is called with a number,
and by the command line before anything is loaded (it reads this file, which imports nothing).
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Range:
  """Numbers between low and high. An end counts as inside if it is written into `closed`."""

  low: float
  high: float
  closed: str  # "", "low", "high" or "both"
  why: str

  def problem(self, name: str, value: float) -> str:
    """One line that says the range and why; "" when the value is inside."""
    above = value > self.low or (self.closed in ("low", "both") and value == self.low)
    below = value < self.high or (self.closed in ("high", "both") and value == self.high)
    return "" if above and below else f"{name}={value:g}: must be {self}: {self.why}"

  def __str__(self) -> str:
    low = f"{'at least' if self.closed in ('low', 'both') else 'above'} {self.low:g}"
    high = f"{'at most' if self.closed in ('high', 'both') else 'below'} {self.high:g}"
    return low if math.isinf(self.high) else f"{low} and {high}"


_INF = math.inf
RANGES = {
  "Beta": Range(0.0, _INF, "", "it multiplies every log-ratio, so at 0 the gradient is zero"),
  "Weight": Range(0.0, _INF, "low", "it weighs a term of the loss; 0 turns the term off"),
  "LowerClip": Range(
    0.0, 1.0, "", "it holds the ratio near 1 and above 0 (no clip at all: unclipped_grpo)"
  ),
  "UpperClip": Range(
    0.0, _INF, "", "it is how far above 1 the ratio is pushed (no clip at all: unclipped_grpo)"
  ),
  "RatioCap": Range(1.0, _INF, "", "a ratio is 1 where nothing has changed yet"),
  "Distance": Range(0.0, _INF, "", "it is how far the policy may move; at 0 it could not move"),
  "RatioFloor": Range(0.0, 1.0, "", "what is below it is left out, and a ratio is 1 at first"),
  "Smoothing": Range(0.0, 0.5, "low", "it is the share of wrong labels; at 0.5 they say nothing"),
  "NonZeroSmoothing": Range(
    0.0, 0.5, "", "its logarithm is in the loss, and at 0.5 labels say nothing"
  ),
  "Fraction": Range(0.0, 1.0, "both", "it is a fraction"),
  "Share": Range(0.0, 1.0, "high", "it is the share that is kept; 1 keeps all"),
  "AtLeastTwo": Range(2.0, _INF, "low", "the best of one response is that response"),
  "Decay": Range(0.0, 1.0, "low", "it is the share of the past that is kept"),
  "Positive": Range(0.0, _INF, "", "it divides or scales, so at 0 or below it means nothing"),
  "Ddof": Range(0.0, 1.0, "both", "the variance is divided by K - ddof"),
}
