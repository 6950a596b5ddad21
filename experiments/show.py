"""Shows the texts of a run: its completions of held-out prompts, or groups that it trained on.

python -m experiments.show runs/quick/grpo-k8-s0                 at its last evaluation
python -m experiments.show runs/quick/grpo-k8-s0 --step=0        of the base policy
python -m experiments.show runs/quick/grpo-k8-s0 --failed        only those without the full reward
python -m experiments.show runs/quick/grpo-k8-s0 --diff=runs/quick/grpo-k2-s0   where they disagree
python -m experiments.show runs/quick/grpo-k8-s0 --groups        with what the loss did to each

A completion is the greedy one, with samples at temperature 1 below it. The full reward is 1, or the
highest of the run's completions if that is more. Two runs disagree where their greedy rewards
differ, or where there are none, their texts.

In a group, "weight" is what the loss put on the log-prob of a response, -d loss / d log pi(y),
times the number of responses; "push" is that over all of its tokens, weight times tokens.
"""

import os
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from comparing.completions import best_first
from comparing.runs import value
from comparing.safe_text import safe_text
from experiments.command_line import cli
from tasks.slips import did_you_mean, nearest
from training import Run, load_run
from training.errors import UserError

Row = dict[str, Any]


def main(argv: Sequence[str]) -> int:
  parser = cli.positional("show", __doc__)
  parser.add_argument("run", help="a run's folder, e.g. runs/quick/grpo-k8-s0")
  parser.add_argument("--step", type=int, help="of an evaluation (default: the last)")
  parser.add_argument("--failed", action="store_true", help="only those without the full reward")
  parser.add_argument("--diff", default="", metavar="OTHER", help="only where this run disagrees")
  parser.add_argument("--groups", action="store_true", help="groups that it trained on instead")
  args = parser.parse_args(argv)
  if args.groups and (args.failed or args.diff):
    raise UserError("--groups shows no completions, which --failed and --diff choose from")
  run, console = _run(args.run), Console()
  if not console.is_terminal:
    console.width = 120
  if args.groups:
    _show_groups(console, run, args.step)
  elif args.diff:
    _show_difference(console, run, _run(args.diff), args.step, args.failed)
  else:
    _show_completions(console, run, args.step, args.failed)
  return 0


def _show_completions(console: Console, run: Run, step: int | None, failed: bool) -> None:
  rows, full = _completions(run, step)
  shown = [row for row in rows if not failed or _is_failed(row, full)]
  console.print(_title(run, rows))
  for row in shown:
    console.print(_prompt(row), _table([("greedy", row), *_samples(row)], full), sep="\n")
  right = len(rows) - sum(_is_failed(row, full) for row in rows)
  console.print(Text(f"\n{right} of {len(rows)} greedy completions have the full reward, {full:g}"))


def _show_difference(
  console: Console, run: Run, other: Run, step: int | None, failed: bool
) -> None:
  (rows, full), (others, of_other) = _completions(run, step), _completions(other, step)
  full = max(full, of_other)
  by_prompt = {row["prompt"]: row for row in others}
  both = [(row, by_prompt[row["prompt"]]) for row in rows if row["prompt"] in by_prompt]
  if not both:
    raise UserError(f"{run.folder} and {other.folder} have no prompt in common: two tasks?")
  shown = [pair for pair in both if disagree(*pair)]
  names = (run.name, other.name) if run.name != other.name else (run.folder, other.folder)
  console.print(_title(run, rows), _title(other, others), sep="\n")
  for one, two in shown:
    if not failed or _is_failed(one, full):
      lines = [pair for name, row in zip(names, (one, two), strict=True) for pair in _of(name, row)]
      console.print(_prompt(one), _table(lines, full), sep="\n")
  better = sum((value(one, "reward") or 0) > (value(two, "reward") or 0) for one, two in shown)
  worse = sum((value(one, "reward") or 0) < (value(two, "reward") or 0) for one, two in shown)
  console.print(
    Text(
      f"\nThe greedy completions disagree on {len(shown)} of {len(both)} prompts: "
      f"{names[0]} has the higher reward on {better}, {names[1]} on {worse}"
    )
  )


def _show_groups(console: Console, run: Run, step: int | None) -> None:
  found = _rows(run, "groups")
  if not found:
    raise UserError(f"{run.folder} has no groups.jsonl: it has not trained a step, or is older")
  rows = _at(found, step, f"{run.folder} has no groups")
  console.print(_title(run, rows))
  for group in rows:
    responses = best_first(group["responses"])
    parts = [name for name in responses[0].get("rewards", {})]
    own = [name for name in ("task_reward", "reward") if name in responses[0]]
    costs = [name for name in ("tokens", "weight", "push") if name in responses[0]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in [*parts, *own, *costs]:
      table.add_column(safe_text(name.replace("_", " ")), justify="right", no_wrap=True)
    table.add_column("completion", overflow="fold")
    for one in responses:
      numbers = [_number(value(one["rewards"], name)) for name in parts]
      numbers += [_number(value(one, name)) for name in own]
      numbers += [
        str(one[name]) if name == "tokens" else _number(value(one, name), sign=True)
        for name in costs
      ]
      table.add_row(*numbers, _text(one))
    console.print(_prompt(group), Padding(table, (0, 0, 0, 2), expand=False), sep="\n")
  console.print(Text(f"\n{len(rows)} of the {run.config.batch_prompts} groups of the step"))


def _run(folder: str) -> Run:
  """UserError, with the runs that there are, if this is none."""
  try:
    return load_run(folder)
  except UserError as error:
    above, name = os.path.split(os.path.normpath(folder))
    inside = _runs_in(folder)
    if inside:
      listed = ", ".join(inside[:12]) + (", ..." if len(inside) > 12 else "")
      raise UserError(f"{folder} is no run's folder, but holds runs: {listed}") from None
    near = [os.path.join(above, other) for other in nearest(name, _runs_in(above or "."))]
    raise UserError(f"{error}.{did_you_mean(near)}") from None


def _runs_in(folder: str) -> list[str]:
  if not os.path.isdir(folder):
    return []
  names = sorted(os.listdir(folder))
  return [name for name in names if os.path.exists(os.path.join(folder, name, "config.json"))]


def _rows(run: Run, name: str) -> list[Row]:
  rows, path = getattr(run, name), f"{run.folder}/{name}.jsonl"
  if not rows and os.path.exists(path) and os.path.getsize(path):
    raise UserError(f"{path} holds no row that can be read")
  return rows


def _completions(run: Run, step: int | None) -> tuple[list[Row], float]:
  """The run's completions at an evaluation, and the full reward."""
  found = _rows(run, "completions")
  if not found:
    raise UserError(f"{run.folder} has no completions: nothing was evaluated, or nothing written")
  rewards = [reward for row in found if (reward := value(row, "reward")) is not None]
  return _at(found, step, f"{run.folder} has no completions"), max([1.0, *rewards])


def _at(rows: list[Row], step: int | None, missing: str) -> list[Row]:
  steps = sorted({row["step"] for row in rows})
  if step is not None and step not in steps:
    raise UserError(
      f"--step={step}: {missing} of that step; there are {', '.join(map(str, steps))}"
    )
  chosen = steps[-1] if step is None else step
  return [row for row in rows if row["step"] == chosen]


def _is_failed(row: Row, full: float) -> bool:
  reward = value(row, "reward")
  return reward is None or reward < full - 1e-6


def disagree(one: Row, two: Row) -> bool:
  """Whether two greedy completions of a prompt differ in reward; in text, where one has none."""
  first, second = value(one, "reward"), value(two, "reward")
  if first is None or second is None:
    return one["completion"] != two["completion"]
  return abs(first - second) > 1e-6


# --- how it looks --------------------------------------------------------------------------------


def _title(run: Run, rows: list[Row]) -> Text:
  title = safe_text(run.folder, "bold")
  title.append(f"  step {rows[0]['step']} of {run.config.steps}", "dim")
  return title


def _prompt(row: Row) -> Text:
  shown = Text("\n").append_text(safe_text(row["prompt"], "bold"))
  if row.get("answer"):
    shown.append("   answer ", "dim").append_text(safe_text(str(row["answer"]), "cyan"))
  return shown


def _of(name: str, row: Row) -> list[tuple[str, Row]]:
  return [(name, row), *_samples(row)]


def _samples(row: Row) -> list[tuple[str, Row]]:
  return [("sampled", sample) for sample in row.get("samples", [])]


def _table(lines: list[tuple[str, Row]], full: float) -> Padding:
  """Who, reward, completion: a line each."""
  table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
  table.add_column(no_wrap=True)
  table.add_column(no_wrap=True, justify="right")
  table.add_column(overflow="fold")
  for who, row in lines:
    reward = value(row, "reward")
    colour = "red" if _is_failed(row, full) else "green"
    if reward is not None and 0 < reward < full - 1e-6:
      colour = "yellow"
    table.add_row(safe_text(who, "dim"), Text(_number(reward), colour), _text(row))
  return Padding(table, (0, 0, 0, 2), expand=False)


def _text(row: Row) -> Text:
  shown = safe_text(row["completion"]) if row["completion"] else Text("(empty)", "dim")
  return shown if row.get("finished", True) else shown.append(" (cut off)", "dim")


def _number(number: float | None, *, sign: bool = False) -> str:
  if number is None:
    return "—"
  return f"{number:+.3f}" if sign else f"{number:.2f}"


if __name__ == "__main__":
  cli.run(main)
