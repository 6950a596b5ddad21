"""The configs of configs/models/qwen3.py compiled for their chips; the table in docs/scaling.md.

python -m benchmarks.targets                     compiles what benchmarks/targets.jsonl lacks
python -m benchmarks.targets --only=v5p          of those, the ones whose case has this in it

Of minutes to an hour, one program at a time. A row that is to be made anew is to be deleted first.
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.command_line import cli
from training.records.files import write_atomically

HERE = pathlib.Path(__file__).parent
ROWS, PAGE = HERE / "targets.jsonl", HERE.parent / "docs" / "scaling.md"
PAIRS = (
  *(("0.6b", "h100-1"), ("0.6b", "v5e-4"), ("4b", "h100-8"), ("4b", "v5e-16")),
  *(("8b", "v5p-32"), ("32b", "v5p-128")),
)
PROGRAMS = {"grpo": ("update", "sampler"), "dpo": ("update",)}
BEGIN, END = "<!-- targets: table -->\n", "<!-- end -->"
FLAGS = {"only": ("", "compile only cases with this in them")}


def main(argv: Sequence[str]) -> None:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs=None)
  there = {(row["case"], row["program"]) for row in rows()}
  for case in cases():
    missing = [name for name in programs(case) if (case, name) not in there]
    if missing and flags.only in case:
      compile_case(case, missing)
  text = PAGE.read_text()
  before, _, rest = text.partition(BEGIN)
  write_atomically(str(PAGE), before + BEGIN + table() + END + rest.partition(END)[2])


def cases() -> list[str]:
  """The arguments of the config file, a case each."""
  return [f"size={s},chips={c},algorithm={a}" for s, c in PAIRS for a in PROGRAMS]


def programs(case: str) -> tuple[str, ...]:
  return PROGRAMS[case.rpartition("=")[2]]


def rows() -> list[dict[str, Any]]:
  """Those that were compiled so far."""
  return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def compile_case(case: str, names: Sequence[str]) -> None:
  """Adds a row for each program to the file, as soon as it is compiled."""
  print(case, *names, flush=True)
  command = [sys.executable, "-m", "benchmarks.target_case", case, *names]
  process = subprocess.Popen(
    command, cwd=HERE.parent, env=os.environ, stdout=subprocess.PIPE, text=True
  )
  with process, ROWS.open("a") as file:
    for line in process.stdout or ():
      file.write(line)
      file.flush()
  if process.returncode:
    print(f"{case}: exit code {process.returncode}", file=sys.stderr)


def table() -> str:
  """Markdown, a row for each program, with those that are not compiled yet."""
  found = {(row["case"], row["program"]): row for row in rows()}
  head = "| run | program | memory, of the estimate | compute, traffic, network: bound by "
  head += "| of peak | of memory rate | FLOPs over by hand |\n" + "| --- " * 7 + "|\n"
  lines = [line(case, name, found.get((case, name))) for case in cases() for name in programs(case)]
  return head + "".join(f"{one}\n" for one in lines)


def line(case: str, program: str, row: dict[str, Any] | None) -> str:
  about = dict(part.split("=") for part in case.split(","))
  star = " *" if row and row.get("is_old") else ""
  run = f"{about['algorithm'].upper()}, {about['size'].upper()}, {about['chips']}{star}"
  return f"| {run} | {program} | " + " | ".join(cells(row)) + " |"


def cells(row: dict[str, Any] | None) -> Iterator[str]:
  if row is None:
    yield from ("not compiled yet", "", "", "", "")
    return
  ratio = row["estimated"] / row["memory"]
  yield f"{row['memory'] / 2**30:.1f} GiB, {ratio:.2f}" + ("" if row["fits"] else ": does not fit")
  if "compute" not in row:
    yield from ("", "", "", "")
    return
  times = {name: row[name] for name in ("compute", "traffic", "network")}
  listed = ", ".join(f"{seconds:.2f} s" if seconds else "none" for seconds in times.values())
  yield f"{listed}: {max(times, key=lambda name: times[name])}"
  is_update = row["program"] == "update"
  yield f"{row['share_of_peak']:.0%}" if is_update else ""
  yield "" if is_update else f"{row['share_of_rate']:.0%}"
  yield f"{row['flops_over_by_hand']:.2f}" + ("" if not row["not_counted"] else ", kernels apart")


if __name__ == "__main__":
  cli.run(main)
