"""The ledger's page: gathers each claim's result for the template to lay out."""

import datetime
import math
import os
import re
import textwrap
from collections.abc import Sequence

from markupsafe import Markup, escape

from claims import plots, results
from claims.claim import DOES_NOT_HOLD, HOLDS, Figure
from claims.results import Result
from comparing import page
from training.estimates import number
from training.records import environment

_HERE = os.path.dirname(os.path.abspath(__file__))


def render(found: Sequence[Result]) -> str:
  """Returns the page as one HTML text that needs no other file."""
  return page.fill(
    "claims.html.j2",
    _HERE,
    found=found,
    counts=_counts(found),
    facts=_facts(found),
    kind=kind,
    figure=plots.figure,
    value=value,
    interval=interval,
    blocks=blocks,
  )


def kind(result: Result) -> str:
  """Returns the verdict as one word, to which the style sheet gives a colour and a sign."""
  words = {HOLDS: "holds", DOES_NOT_HOLD: "fails-to-hold"}
  return words.get(result.verdict, "under" if result.finding else result.state.replace(" ", "-"))


def value(number_: float | None) -> str:
  """Formats a number to four digits: 0.5012, 12,500, 2.2e−04."""
  if number_ is None or not math.isfinite(number_):
    return "—"
  if float(number_).is_integer() and abs(number_) < 1e7:
    return number(number_, decimals=0)
  size = f"{number_:.1e}" if abs(number_) < 1e-3 or abs(number_) >= 1e5 else f"{number_:.4g}"
  return size.replace("-", "\N{MINUS SIGN}")


def interval(figure: Figure) -> str:
  if figure.low is None or figure.high is None:
    return ""
  return f"{value(figure.low)} to {value(figure.high)}"


def blocks(text: str) -> list[Markup]:
  """Turns a docstring into HTML: paragraphs, indented blocks as <pre>, `words` as <code>."""
  found = []
  for block in text.split("\n\n") if text else []:
    if all(line.startswith("  ") for line in block.splitlines()):
      found.append(Markup("<pre>{}</pre>").format(textwrap.dedent(block)))
    else:
      words = re.sub("`(.+?)`", r"<code>\1</code>", str(escape(" ".join(block.split()))))
      found.append(Markup("<p>{}</p>").format(Markup(words)))
  return found


def _counts(found: Sequence[Result]) -> str:
  """ "Of 14 claims 9 hold, 3 hold under a condition, 1 does not hold and 1 failed to run."."""
  kinds = [kind(result) for result in found]
  texts = {
    "holds": ("holds", "hold"),
    "under": ("holds under a condition", "hold under a condition"),
    "fails-to-hold": ("does not hold", "do not hold"),
    results.FAILED: ("could not be tried", "could not be tried"),
    "not-tried": ("is not tried yet", "are not tried yet"),
  }
  said = [
    f"{kinds.count(name)} {one if kinds.count(name) == 1 else several}"
    for name, (one, several) in texts.items()
    if name in kinds
  ]
  return f"Of {len(found)} claims " + ", ".join(said) + "."


def _facts(found: Sequence[Result]) -> dict[str, str]:
  commit = environment.git_commit()
  seconds = sum(result.seconds for result in found)
  facts = {
    "Tried": f"{sum(result.finding is not None for result in found)} of {len(found)}",
    "Time": f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds",
    "Date": datetime.date.today().isoformat(),
    "Commit": commit[:10] + ("-dirty" if commit.endswith("-dirty") else ""),
  }
  return {title: fact for title, fact in facts.items() if fact}
