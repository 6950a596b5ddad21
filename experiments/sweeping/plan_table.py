"""A sweep's plan as a table to read, with the budgets of its runs."""

import collections
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from comparing.safe_text import safe_text
from configs.config_values import flatten
from experiments.sweeping import plan
from experiments.sweeping.plan import Plan, PlannedRun
from tasks.visible_text import visible

_FIELDS = {  # always shown, under a short name
  "algorithm.loss": "loss",
  "source": "source",
  "group_size": "K",
  "batch_prompts": "B",
  "steps": "steps",
}

MANY = 100  # runs, beyond which nobody sees the table at once, and rich takes a second for it

Programs = Sequence[Sequence[PlannedRun]]


def show(sweep: Plan, runs: Sequence[PlannedRun], programs: Programs) -> None:
  """Prints the plan, and says so where the budgets of the runs are unequal.

  `programs` are those that the runs to do are trained in.
  """
  console = Console()
  if not console.is_terminal:  # a file has no width: never fold a number
    console.width = 140
  console.print(safe_text(headline(sweep, runs, programs)), highlight=False, soft_wrap=True)
  _print_table(console, runs, programs)
  if warning := unequal(runs):
    console.print(safe_text(warning), highlight=False, soft_wrap=True)


def headline(sweep: Plan, runs: Sequence[PlannedRun], programs: Programs) -> str:
  """ "configs/sweeps/quick.py: 15 runs, 10 to do in 5 programs, in runs/quick; all with seed=9"."""
  count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
  to_do = sum(run.state != "finished" for run in runs)
  words = f"{sweep.file}: {count}, {to_do} to do{_in(programs)}, in {sweep.folder}"
  if sweep.common:
    words += f"; all with {', '.join(f'{key}={value}' for key, value in sweep.common.items())}"
  if sweep.repeats:
    names = list(dict.fromkeys(sweep.repeats))
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
    words += f"; items that repeat another: {len(sweep.repeats)} (of {some})"
  return words


def _in(programs: Programs) -> str:
  if all(len(program) == 1 for program in programs):
    return ""
  return " in 1 program" if len(programs) == 1 else f" in {len(programs)} programs"


def _print_table(console: Console, runs: Sequence[PlannedRun], programs: Programs) -> None:
  titles, rights, rows = _cells(runs, programs)
  if len(rows) > MANY:
    lines = [titles, *([visible(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
      cells = zip(line, rights, widths, strict=True)
      print("  ".join(f"{cell:>{n}}" if right else f"{cell:<{n}}" for cell, right, n in cells))
    return
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  for title, right in zip(titles, rights, strict=True):
    table.add_column(title, justify="right" if right else "left", no_wrap=title == "run")
  for row in rows:
    table.add_row(*map(safe_text, row))
  console.print(table)


def _cells(
  runs: Sequence[PlannedRun], programs: Programs
) -> tuple[list[str], list[bool], list[list[str]]]:
  """The titles of the columns, whether each is of numbers, and a row a run."""
  configs = [flatten(run.config) for run in runs]
  others = [key for key in plan.differing(runs) if key not in _FIELDS]
  columns, shared = _FIELDS | _labels(others), bool(_in(programs))
  rights = [not any(isinstance(config.get(key), str) for config in configs) for key in columns]
  more = ["program"] if shared else []
  titles = ["#", "run", *columns.values(), "rollouts", "tokens", *more, "state"]
  program_of = {run.name: str(i) for i, program in enumerate(programs) for run in program}
  rows = []
  for number, (run, config) in enumerate(zip(runs, configs, strict=True)):
    row = [str(number), run.name, *(str(config.get(key, "")) for key in columns)]
    row += [_rollouts(run), _tokens(run), *([program_of.get(run.name, "")] if shared else [])]
    rows.append([*row, run.state])
  return titles, [True, False, *rights, True, True, *([True] if shared else []), False], rows


def unequal(runs: Sequence[PlannedRun]) -> str:
  """Returns a warning if the runs have unequal numbers of rollouts, else "".

  Runs on demonstrations generate none, and are left out.
  """
  variants: dict[str, dict[str, None]] = collections.defaultdict(dict)
  for run in runs:
    if run.rollouts:
      variants[_rollouts(run)][run.variant] = None
  if len(variants) < 2:
    return ""
  budgets = [f"  {budget}: {', '.join(names)}" for budget, names in variants.items()]
  return "\n".join(
    [
      "warning: the runs generate unequally many responses to train on. By step, those with more",
      "have an advantage; compare them by rollouts (an axis of the report), or mean it so:",
      *budgets,
    ]
  )


def _labels(keys: Sequence[str]) -> dict[str, str]:
  """Returns the columns' titles: a field's name, with its section if two fields share the name."""
  names = {key: key.rpartition(".")[2] for key in keys}
  shared = collections.Counter(names.values())
  return {key: key if shared[name] > 1 else name for key, name in names.items()}


def _tokens(run: PlannedRun) -> str:
  """Formats the most tokens that it may generate: no response ends before max_tokens."""
  return f"≤ {run.most_rollouts * run.config['sampling']['max_tokens']:,}"


def _rollouts(run: PlannedRun) -> str:
  """Formats "15,360", or "15,360 to 46,080" if dynamic sampling decides."""
  least, most = run.rollouts, run.most_rollouts
  return f"{least:,}" if least == most else f"{least:,} to {most:,}"
