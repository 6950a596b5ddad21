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

_FIELDS = {  # always shown, under a short name
  "algorithm.loss": "loss",
  "source": "source",
  "group_size": "K",
  "batch_prompts": "B",
  "steps": "steps",
}


Programs = Sequence[Sequence[PlannedRun]]


def show(sweep: Plan, runs: Sequence[PlannedRun], programs: Programs) -> None:
  """Prints the plan, and says so where the budgets of the runs are unequal.

  `programs` are those that the runs to do are trained in.
  """
  console = Console()
  if not console.is_terminal:  # a file has no width: never fold a number
    console.width = 140
  console.print(safe_text(headline(sweep, runs, programs)), highlight=False, soft_wrap=True)
  console.print(_table(runs, programs))
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


def _table(runs: Sequence[PlannedRun], programs: Programs) -> Table:
  configs = [flatten(run.config) for run in runs]
  others = [key for key in plan.differing(runs) if key not in _FIELDS]
  columns = _FIELDS | _labels(others)
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  table.add_column("#", justify="right")
  table.add_column("run", no_wrap=True)
  for key, label in columns.items():
    is_word = any(isinstance(config.get(key), str) for config in configs)
    table.add_column(label, justify="left" if is_word else "right")
  table.add_column("rollouts", justify="right")
  table.add_column("tokens", justify="right")
  if _in(programs):
    table.add_column("program", justify="right")
  table.add_column("state")
  program_of = {run.name: str(i) for i, program in enumerate(programs) for run in program}
  for number, (run, config) in enumerate(zip(runs, configs, strict=True)):
    values = [str(config.get(key, "")) for key in columns]
    values += [_rollouts(run), _tokens(run)]
    if _in(programs):
      values.append(program_of.get(run.name, ""))
    table.add_row(*map(safe_text, (str(number), run.name, *values, run.state)))
  return table


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
