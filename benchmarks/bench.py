"""Times training steps and sampling on this machine, and the share of its speed that they use.

python -m benchmarks.bench                            8 million parameters; minutes on 2 CPU cores
python -m benchmarks.bench --size=0.6b                Qwen3-0.6B's shape, for a GPU
python -m benchmarks.bench --only=dpo,generate --json=bench.json
python -m benchmarks.bench --dry_run                  what would be run: sizes, tokens, FLOPs

The trainer's own code runs on random weights and random tokens; every response has its full length.
Each work runs in two processes of its own: one that compiles and does the steps, and one that finds
the compiled programs ("warm"). FLOPs are those that the mathematics needs (training/flops.py).
Shares are of the rates measured first: of matrix products, and for sampling of reading memory too.
Peak memory is the process's on a CPU, the device's elsewhere. One device is used.

Exit code: 0 done, 2 bad usage or a work failed, 130 interrupted.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import processes
from benchmarks.sizes import SIZES, Size
from benchmarks.worker import Job
from benchmarks.works import WORKS, Work
from experiments.command_line import cli
from tasks.slips import choose
from training import flops
from training.errors import UserError
from training.records import environment
from training.records.files import write_atomically

FLAGS = {
  "size": ("tiny", f"the model and its batch: {', '.join(SIZES)}"),
  "only": ("", "only these works, e.g. --only=dpo,grpo"),
  "dtype": ("", "of activations: float32 or bfloat16 (default: bfloat16 unless on a CPU)"),
  "repeat": (5, "timed steps of each work, after the one that compiles"),
  "json": ("", "also write every number to this file"),
  "dry_run": (False, "list what would be run; run nothing"),
}
DTYPES = ("float32", "bfloat16")


def main(argv: Sequence[str]) -> int:
  works = "\n".join(f"  {work.name:<16} {work.about}" for work in WORKS.values())
  args = cli.parse(argv, f"{__doc__}\nworks:\n{works}", FLAGS, configs=None)
  chosen, size = _check(args)
  console = Console()
  console.print(_about(args.size, size), soft_wrap=True)
  if args.dry_run:
    console.print(_plan(chosen, size))
    return 0
  machine = processes.rates()
  dtype = args.dtype or ("float32" if machine["backend"] == "cpu" else "bfloat16")
  console.print(_about_machine(machine, dtype), soft_wrap=True)
  record = {
    "size": args.size,
    "dtype": dtype,
    "machine": environment.describe(machine["device"]) | machine,
    "works": {},
  }
  try:
    for work in chosen:
      print(f"{work.name}: running", flush=True)
      job = Job(work.name, args.size, dtype, args.repeat)
      record["works"][work.name] = processes.measure(job, machine)
  except KeyboardInterrupt:
    return 130
  finally:  # also when interrupted: show the works that are done
    if record["works"]:
      console.print(_speed(record["works"]), "", _cost(record["works"]), sep="\n")
      if args.json:
        write_atomically(args.json, json.dumps(record, indent=2) + "\n")
  return 0


def _check(args: Any) -> tuple[list[Work], Size]:
  names = [name.strip() for name in args.only.split(",")] if args.only else list(WORKS)
  problems = [choose("--only", name, WORKS) for name in names if name not in WORKS]
  if args.size not in SIZES:
    problems.append(choose("--size", args.size, SIZES))
  if args.dtype and args.dtype not in DTYPES:
    problems.append(choose("--dtype", args.dtype, DTYPES))
  if args.repeat < 1:
    problems.append(f"--repeat={args.repeat}: at least 1")
  if problems:
    raise UserError("\n".join(problems))
  return [work for work in WORKS.values() if work.name in names], SIZES[args.size]


def _about(name: str, size: Size) -> str:
  m = size.model
  return (
    f"{name}: {flops.parameters(m) / 1e6:,.1f} million parameters, {m.layers} layers, "
    f"width {m.d_model}, vocabulary {m.vocab_size:,}; "
    f"prompts of {size.prompt_tokens} and responses of {size.response_tokens} tokens"
  )


def _about_machine(machine: dict[str, Any], dtype: str) -> str:
  matmul, memory = machine["matmul"], machine["memory"]
  return (
    f"{machine['device']}, {dtype}: {matmul['flops_per_second'] / 1e9:,.0f} GFLOP/s "
    f"({matmul['what']}), {memory['bytes_per_second'] / 1e9:,.1f} GB/s ({memory['what']})"
  )


def _plan(works: Sequence[Work], size: Size) -> Table:
  table = _table("work", "prompts", "K", "tokens", "phase", "GFLOP")
  for work in works:
    batch = work.batch(size)
    about = [work.name, f"{batch.prompts}", f"{batch.group_size}", f"{batch.tokens:,}"]
    for phase, needed in work.flops(size).items():
      table.add_row(*about, phase, f"{needed / 1e9:,.1f}")
      about = [""] * len(about)
  return table


def _speed(works: dict[str, Any]) -> Table:
  table = _table("work", "phase", "median s", "best s", "tokens/s", "GFLOP/s", "share", "memory")
  for name, work in works.items():
    for phase, found in work["phases"].items():
      read = found.get("share_of_memory_rate")
      table.add_row(
        *(name, phase, f"{found['median']:.3f}", f"{found['best']:.3f}"),
        *(f"{found['tokens_per_second']:,.0f}", f"{found['flops_per_second'] / 1e9:,.0f}"),
        *(f"{found['share_of_matmul_rate']:.0%}", "" if read is None else f"{read:.0%}"),
      )
      name = ""
  return table


def _cost(works: dict[str, Any]) -> Table:
  table = _table("work", "peak GB", "first step s", "warm", "compiling s", "warm")
  for name, work in works.items():
    first, compiling = work["first_step_seconds"], work["compile_seconds"]
    seconds = (first["cold"], first["warm"], compiling["cold"], compiling["warm"])
    table.add_row(name, f"{work['peak_bytes'] / 1e9:.2f}", *(f"{s:.1f}" for s in seconds))
  return table


def _table(*names: str) -> Table:
  table = Table(box=None, padding=(0, 2, 0, 0))
  for name in names:
    table.add_column(name, justify="left" if name in ("work", "phase") else "right")
  return table


if __name__ == "__main__":
  cli.run(main)
