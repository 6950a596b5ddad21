"""The verdict as the page shows it and as papers and spreadsheets take it: a forest plot, texts."""

import csv
import dataclasses
import io
import re

from comparing.verdict import Gain, Row, Verdict
from training.estimates import number

_MARGIN = 0.08  # of the forest plot's width, left and right of what is drawn
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclasses.dataclass(frozen=True)
class Forest:
  """The common scale of all rows of the forest plot, from `low` to `high`."""

  low: float
  high: float

  @classmethod
  def of(cls, found: Verdict) -> "Forest":
    """Holds every mean, every interval, and the base policy."""
    marks = [row.score.mean for row in found.rows]
    marks += [end for row in found.rows for end in row.interval or ()]
    marks += [] if found.base is None else [found.base]
    return cls(min(marks), max(marks))

  def at(self, score: float) -> str:
    """Where a score is, as SVG takes it: "12.5%"."""
    width = self.high - self.low
    share = (score - self.low) / width if width > 0 else 0.5
    return f"{100 * (_MARGIN + (1 - 2 * _MARGIN) * share):.2f}%"


def gain(found: Gain | None) -> str:
  """ "+0.210", or a dash where the base policy was not evaluated."""
  return ("+" if found and found.mean > 0 else "") + number(found.mean if found else None)


def as_csv(found: Verdict) -> str:
  """Returns the table with all digits, to be pasted into a spreadsheet."""
  table = io.StringIO()
  writer = csv.writer(table, lineterminator="\n")
  score = found.metric.removeprefix("eval/")
  writer.writerow(
    ["rank", "variant", score, "low", "high", "gain over base", "clear gain", "kl", "against best"]
  )
  for row in found.rows:
    low, high = row.interval or ("", "")
    told = (row.gain.mean, row.gain.is_clear) if row.gain else ("", "")
    kl = "" if row.kl is None else row.kl
    writer.writerow(
      [row.rank, row.variant.name, row.score.mean, low, high, *told, kl, row.mark or "not tested"]
    )
  return table.getvalue()


def as_latex(found: Verdict) -> str:
  """Returns the table for booktabs; bold is the best, and what is level with it has an asterisk."""
  score = "accuracy" if "accuracy" in found.metric else "reward"
  lines = [
    rf"% {found.title}, mean and 95 % interval; bold: the best, *: level with it",
    r"\begin{tabular}{rlrrr}",
    r"\toprule",
    rf" & variant & {score} & $\Delta$ base & KL \\",
    r"\midrule",
  ]
  if found.base is not None:
    lines.append(rf" & base policy & ${_plain(number(found.base))}$ & & $0$ \\")
  lines += [_latex_row(row) for row in found.rows]
  return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(row: Row) -> str:
  name = re.sub(
    r"[\\~^&%$#_{}]", lambda found: _LATEX.get(found[0], "\\" + found[0]), row.variant.name
  )
  name = rf"\textbf{{{name}}}" if row.rank == 1 else name + ("*" if row.sign == "=" else "")
  spread = row.spread.replace("±", r"\pm") if row.spread.startswith("±") else ""
  cells = [
    f"${number(row.score.mean)} {spread}".strip() + "$",
    f"${gain(row.gain)}$",
    f"${number(row.kl)}$",
  ]
  return _plain(" & ".join([str(row.rank), name, *cells])) + r" \\"


def _plain(text: str) -> str:
  """Replaces the signs that LaTeX does not have in its fonts."""
  return text.replace("\N{MINUS SIGN}", "-").replace("$—$", "---")
