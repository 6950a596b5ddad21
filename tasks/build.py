"""Builds a data set, once, for training to read.

  python -m tasks.build gsm8k
  python -m tasks.build gsm8k_groups --manual_dir=FOLDER      # without a network
  python -m tasks.build local --file=pairs.jsonl              # your own pairs or groups

Every row is read and checked before anything is written: all problems are reported at once, with
file and row. Typed again, it finds what is built, or builds it anew if the files have changed.
Exit code: 0 built, 2 bad usage or data, 130 interrupted.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
  BarColumn,
  DownloadColumn,
  MofNCompleteColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
)

from tasks.datasets import DATA_SETS, building, sources
from tasks.datasets.building import Plan
from tasks.datasets.data_set import DataSet
from tasks.datasets.local import local
from tasks.datasets.reading import default_data_dir
from tasks.rows.row import BadRows
from tasks.rows.row_names import PARTS, RowNames
from tasks.visible_text import visible


def main(argv: Sequence[str]) -> int:
  parser = _parser()
  args = parser.parse_args(argv)
  try:
    data_set = _data_set(args, parser)
    if args.dry_run:
      _describe(data_set, args)
    else:
      _build(data_set, args)
  except BadRows as bad:
    n, problems = len(bad.problems), str(bad).replace("--config.data.", "--")  # keys are named here
    print(
      f"{n:,} bad row{'s' * (n > 1)}; --skip_bad_rows leaves them out:\n{problems}", file=sys.stderr
    )
    return 2
  except (ValueError, OSError) as error:  # of the data, or of the disk
    print(visible(str(error)), file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("interrupted; typed again, it starts anew", file=sys.stderr)
    return 130
  return 0


def _parser() -> argparse.ArgumentParser:
  names = "\n".join(f"  {name:14}{one.description}" for name, one in DATA_SETS.items())
  parser = argparse.ArgumentParser(
    "python -m tasks.build",
    description=f"{__doc__}\nNAME is one of\n{names}\n  {'local':14}A file of your own.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "data_set", metavar="NAME", choices=[*DATA_SETS, "local"], help="the data set"
  )
  add = parser.add_argument
  add("--data_dir", default=default_data_dir(), help="where data sets are kept (%(default)s)")
  add("--manual_dir", default="", help="a folder that has the files: nothing is downloaded")
  add("--file", default="", help="of local: a file of rows to train on, .jsonl, .csv, .parquet, …")
  add("--name", default="", help="of local: built as local_NAME (default: the file's name)")
  add("--test_file", default="", help="of local: rows of other prompts, to evaluate on")
  add("--held_out", default=0.1, type=float, help="of local: share of the prompts kept as test")
  for part in (*PARTS, "ignore"):
    add(f"--{part}", default="", help=f"of local: a key of the rows, as config.data.{part} has it")
  add("--skip_bad_rows", action="store_true", help="leave them out, counted and listed in a file")
  add("--dry_run", action="store_true", help="say what would be read and built; do nothing")
  return parser


def _data_set(args: argparse.Namespace, parser: argparse.ArgumentParser) -> DataSet:
  if args.data_set == "local" and not args.file:
    parser.error("local needs --file=FILE")
  given = {part: getattr(args, part) for part in (*PARTS, "ignore")}
  if args.data_set != "local" and (args.file or args.test_file or args.name or any(given.values())):
    parser.error(f"--file, --test_file, --name and names of keys are of local, not {args.data_set}")
  if not 0 <= args.held_out < 1:
    parser.error(f"--held_out={args.held_out}: at least 0 and below 1")
  if args.data_set == "local":
    return local(args.file, args.test_file, args.held_out, args.name, RowNames.of(**given))
  return DATA_SETS[args.data_set]


def _describe(data_set: DataSet, args: argparse.Namespace) -> None:
  print(f"{data_set.name}: {data_set.description}")
  if data_set.licence:
    print(f"licence {data_set.licence}, {data_set.homepage}")
  for split, files in data_set.sources.items():
    for source in files:
      at = args.manual_dir and os.path.join(args.manual_dir, source.filename)
      checksum = f"  sha256 {source.sha256}" if source.sha256 else ""
      print(f"{split}: {at or source.url or source.filename}{checksum}")
  print(f"would be built in {os.path.join(args.data_dir, data_set.name)}")


def _build(data_set: DataSet, args: argparse.Namespace) -> None:
  started = time.perf_counter()
  download_dir = os.path.join(os.path.expanduser(args.data_dir), "downloads", "counterpoint")
  columns = (TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
  no_download = bool(args.manual_dir or args.file)
  with Progress(*columns, transient=True, disable=no_download) as progress:
    bar = progress.add_task(f"getting {data_set.name}", total=None)
    paths = sources.obtain(
      data_set, args.manual_dir, download_dir, lambda n: progress.advance(bar, n)
    )
  for path in sources.unpublished(data_set, paths):
    print(f"note: {path} is not the published file (its sha256 differs)")
  plan = Plan.of(data_set, paths, args.data_dir)
  if args.data_set == "local":
    plan.claim(os.path.realpath(args.file))
  if plan.is_built:
    plan.make_current()
    print(f"{data_set.name}: built already, {plan.path}")
    _tell_skipped(plan)
    return
  import tensorflow_datasets  # noqa: F401  (before the bar: its import would trip the bar's thread)

  columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
  with Progress(*columns, TimeElapsedColumn(), console=Console()) as progress:
    bar = progress.add_task("reading", total=None)
    splits, problems = building.read_files(
      plan, args.skip_bad_rows, lambda n: progress.advance(bar, n)
    )
    total = sum(map(len, splits.values()))
    progress.reset(bar, description="writing", total=total)
    building.write(plan, splits, problems, lambda n: progress.advance(bar, n))
  counts = ", ".join(f"{split} {len(rows):,}" for split, rows in splits.items())
  seconds = time.perf_counter() - started
  print(f"{data_set.name}: {counts} rows in {seconds:.1f} s, {plan.path}")
  _tell_skipped(plan)


def _tell_skipped(plan: Plan) -> None:
  path = os.path.join(plan.path, building.BAD_ROWS)
  if os.path.exists(path):
    with open(path, encoding="utf-8") as file:
      print(f"bad rows left out: {sum(1 for _ in file):,} problems, listed in {path}")


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
