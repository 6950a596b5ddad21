"""Tries the claims of the literature about these losses, each by an experiment with a verdict.

python -m experiments.claims
python -m experiments.claims --only=baselines,optimum
python -m experiments.claims --dry_run                 the claims, and what is already found

Writes runs/claims/report.html, one page with plots for each, and claims.json. Findings are kept:
the same command again tries only claims without one, and those whose code has changed. A claim
whose experiment fails is named and the others go on. Exit code: 0 all found, 1 some failed, 2 bad
usage, 130 interrupted.
"""

import os
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from claims import results, table
from claims.claim import DOES_NOT_HOLD, HOLDS, Claim
from claims.results import Result
from comparing.safe_text import safe_text
from experiments.command_line import cli
from tasks.slips import did_you_mean, nearest
from training.errors import UserError
from training.records.files import write_atomically

FLAGS = {
  "only": ("", "only these claims, e.g. --only=baselines,optimum"),
  "again": (False, "also those already found by the same code"),
  "dry_run": (False, "list the claims and what is already found; try nothing"),
  "out": ("runs/claims", "the ledger's folder"),
}
_COLOURS = {HOLDS: "green", DOES_NOT_HOLD: "red", results.FAILED: "red", results.UNTRIED: "dim"}


def main(argv: Sequence[str]) -> int:
  args = cli.parse(argv, __doc__ + "\nclaims: " + ", ".join(_names()), FLAGS, configs=None)
  chosen = _choose(args.only)
  before = {claim.name: results.kept(claim, args.out) for claim in table.CLAIMS}
  to_try = [c for c in chosen if args.again or before[c.name].state != results.FOUND]
  if args.dry_run:
    _list(chosen, before, to_try)
    return 0
  _make(args.out)
  console = Console()
  try:
    now = before | _try(to_try, args.out, console)
  except KeyboardInterrupt:
    print("stopped. Run the same command again to go on: what has been found is kept.")
    return 130
  _print_table([now[claim.name] for claim in chosen], console)
  print(f"report: {_write(list(now.values()), args.out)}")
  return 1 if any(now[claim.name].state == results.FAILED for claim in chosen) else 0


def _choose(only: str) -> list[Claim]:
  names = [name.strip() for name in only.split(",")] if only else _names()
  problems = [
    f"--only: no claim {name!r}."
    + (did_you_mean(nearest(name, _names())) or f" The claims: {', '.join(_names())}.")
    for name in names
    if name not in _names()
  ]
  if problems:
    raise UserError("\n".join(problems))
  return [claim for claim in table.CLAIMS if claim.name in names]


def _names() -> list[str]:
  return [claim.name for claim in table.CLAIMS]


def _make(folder: str) -> None:
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise UserError(f"--out={folder}: {error.strerror}") from None


def _list(chosen: Sequence[Claim], before: dict[str, Result], to_try: Sequence[Claim]) -> None:
  console = Console()
  for claim in chosen:
    verdict = before[claim.name].verdict
    next_time = "to try" if claim in to_try else "kept"
    if before[claim.name].state == results.OUTDATED:
      next_time += ", its code has changed"
    console.print(f"[bold]{claim.name}[/]  [{_colour(verdict)}]{escape(verdict)}[/]  ({next_time})")
    source = f" ({claim.source})" if claim.source else ""
    console.print(Padding(Text(f"{claim.quote}{source}"), (0, 0, 0, 2)))
  print(f"{len(to_try)} of {len(chosen)} to try")


def _try(claims: Sequence[Claim], folder: str, console: Console) -> dict[str, Result]:
  """Runs the experiments one after the other, keeping each finding as soon as there is one."""
  found = {}
  for number, claim in enumerate(claims, start=1):
    found[claim.name] = _shown(claim, f"{number} of {len(claims)}", folder, console)
  return found


def _shown(claim: Claim, place: str, folder: str, console: Console) -> Result:
  """Runs one experiment, with a line that says so; on a terminal the line counts the seconds."""
  start = time.perf_counter()

  def running() -> Text:
    clock = f"{time.perf_counter() - start:.0f} s"
    return Text.assemble((f"▶ {claim.name}", "cyan"), f"  {place}  {clock}")

  if console.is_terminal:
    with Live(get_renderable=running, console=console, refresh_per_second=2, transient=True):
      result = _run(claim, start, folder)
  else:
    print(f"{claim.name}: running  {place}", flush=True)
    result = _run(claim, start, folder)
  words = [f"{claim.name}: {result.verdict}", f"{result.seconds:.1f} s", result.reason]
  line = safe_text("  ".join(word for word in words if word), style=_colour(result.verdict))
  console.print(line, soft_wrap=True)
  return result


def _run(claim: Claim, start: float, folder: str) -> Result:
  try:
    finding = claim.run()
  except Exception as error:  # whatever it is, the other claims can still be tried
    return results.failed(claim, error, time.perf_counter() - start, folder)
  return results.keep(claim, finding, time.perf_counter() - start, folder)


def _print_table(found: Sequence[Result], console: Console) -> None:
  shown = Table("claim", "verdict, and what decides", box=None, padding=(0, 2, 1, 0))
  shown.add_column("seconds", justify="right")
  for result in found:
    decides = result.finding.summary if result.finding else result.reason
    verdict = Text.assemble((result.verdict, _colour(result.verdict)), "\n", safe_text(decides))
    shown.add_row(result.claim.name, verdict, f"{result.seconds:.1f}")
  console.print(shown)


def _colour(verdict: str) -> str:
  return _COLOURS.get(verdict, "yellow")


def _write(found: Sequence[Result], folder: str) -> str:
  """Writes claims.json and the page; returns the page's path."""
  from claims import page  # Plotly and Jinja2 take half a second to import

  results.write_all(found, folder)
  path = os.path.join(folder, "report.html")
  write_atomically(path, page.render(found))
  return path


if __name__ == "__main__":
  cli.run(main)
