"""The comparison in the terminal: who won, in one table and a sentence or two."""

import os

from rich.console import Console
from rich.table import Table

from comparing import comparison
from comparing.comparison import KL, REWARD, SAMPLED, Comparison, Variant
from comparing.safe_text import safe_text
from comparing.verdict import PROMPTS, Gain, Verdict, sentences, verdict
from training.estimates import number

_SIGNS = "▲ best  = level with it  ▼ clearly below  * clear change from the base policy"


def print_table(folder: str, console: Console | None = None) -> None:
  """Prints the final table of a sweep and its verdict, then a line for each run that failed."""
  show(comparison.read(folder), console)


def show(result: Comparison, console: Console | None = None) -> None:
  """Prints a comparison that has been read."""
  console = console or Console()
  if not console.is_terminal:  # a file has no width: never fold a number
    console.width = max(console.width, 120)
  found = verdict(result)
  metric = found.metric if found else SAMPLED
  base = f"; base policy {number(found.base)}" if found and found.base is not None else ""
  console.print(f"final {metric}, mean ± 95% CI over seeds{base}", style="bold", highlight=False)
  console.print(_table(result, found))
  if found:
    console.print(_SIGNS, style="dim", highlight=False)
  for sentence in sentences(found) if found else []:
    console.print(safe_text(sentence), highlight=False)
  if found and found.over(PROMPTS):
    of = "of these checkpoints, not of other seeds'."
    console.print(f"Tested over {found.prompts} held-out prompts: {of}", highlight=False)
  for run in result.unfinished:
    reason = f", {run.status['reason']}" if run.status.get("reason") else ""
    where = f"  ({run.folder.log})" if os.path.exists(run.folder.log) else ""
    console.print(safe_text(f"{run.name}: {run.state}{reason}{where}"), soft_wrap=True)


def _table(result: Comparison, found: Verdict | None) -> Table:
  """Returns the table in the order of the headline score."""
  metric = found.metric if found else SAMPLED
  table = Table(box=None, pad_edge=False)
  table.add_column("#", justify="right")
  table.add_column("variant", no_wrap=True)
  noun = "reward" if metric == SAMPLED else metric.removeprefix("eval/")
  columns = {
    "seeds": lambda v, row: v.seeds,
    noun: lambda v, row: str(row.score) if row else "—",
    "": lambda v, row: row.sign if row else "",
    "Δ base": lambda v, row: _change(row.gain if row else None),
    "kl": lambda v, row: _mean(v, KL),
    "greedy": lambda v, row: _mean(v, REWARD),
    "rollouts": lambda v, row: _mean(v, "rollouts", is_count=True),
    "failed": lambda v, row: str(v.failed),
  }
  if metric != SAMPLED:
    del columns["greedy"]
  if not any(variant.failed for variant in result.variants):
    del columns["failed"]
  for name in columns:
    table.add_column(name, justify="right", no_wrap=True)
  rows = found.by_name if found else {}
  last = len(rows) + 1  # variants without a score, in the sweep's order
  for variant in sorted(
    result.variants, key=lambda v: rows[v.name].rank if v.name in rows else last
  ):
    row = rows.get(variant.name)
    cells = [cell(variant, row) for cell in columns.values()]
    table.add_row(str(row.rank) if row else "—", safe_text(variant.name), *cells)
  return table


def _change(gain: Gain | None) -> str:
  if not gain:
    return "—"
  return f"{'+' if gain.mean > 0 else ''}{number(gain.mean)}{'*' if gain.is_clear else ''}"


def _mean(variant: Variant, metric: str, is_count: bool = False) -> str:
  found = variant.final(metric)
  if not found:
    return number(None)
  return number(round(found.mean) if is_count else found.mean)
