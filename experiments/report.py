"""Writes the comparison of a sweep's runs as one page that needs no network, and as a table.

python -m experiments.report runs/quick
python -m experiments.report runs/quick runs/mine     both in one, in runs/compare-quick-mine/
python -m experiments.report runs/quick --baseline=grpo-k8    differences from that variant
python -m experiments.report runs/quick --png         also its plots as pictures, for papers; this
                                                      needs Chromium or Chrome on the PATH

Prints the table, and writes report.html and results.csv (a row a run, with the config fields that
differ): of one folder into it, of several into --out. A sweep does so itself when it ends.
"""

import csv
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from comparing import comparison, terminal_table
from comparing.comparison import Comparison
from experiments.command_line import cli
from tasks.visible_text import visible
from training.errors import UserError
from training.records import full_disk, run_names
from training.records.files import write_atomically
from training.records.run_folder import RunFolder

ROOT = "runs"  # comparisons of several folders have one of their own in it

_STATE = ("run", "variant", "seed", "state", "step", "rollouts", "tokens", "seconds")


def main(argv: Sequence[str]) -> int:
  parser = cli.positional("report", __doc__)
  parser.add_argument("folders", nargs="+", help="a sweep's or a run's folder, e.g. runs/quick")
  parser.add_argument(
    "--baseline", default="", help="the variant that others are compared with (default: the first)"
  )
  parser.add_argument("--png", action="store_true", help="also write the plots as PNG files")
  parser.add_argument(
    "--out",
    default="",
    help="the folder to write into (default: the one folder, or runs/compare-…)",
  )
  arguments = parser.parse_args(argv)
  try:
    check_out(arguments.out, arguments.folders)
    result = comparison.read(*arguments.folders, baseline=arguments.baseline)
    for note in filter(None, (*result.problems, result.nothing_shared)):
      print(visible(f"note: {note}"), file=sys.stderr)
    terminal_table.show(result)
    out = arguments.out or home(arguments.folders)
    written = [_write(result, out), *(_write_pictures(result, out) if arguments.png else [])]
  except (UserError, OSError) as error:
    said = full_disk.said(error) if isinstance(error, OSError) else ""
    print(visible(f"error: {said or error}"), file=sys.stderr)
    return 2
  print("report: " + "\n        ".join(written))
  return 0


def write(*folders: str) -> str:
  """Writes report.html and results.csv into `home(folders)` and returns the page's path.

  Raises UserError if a folder holds no runs.
  """
  return _write(comparison.read(*folders), home(folders))


def home(folders: Sequence[str]) -> str:
  """The folder that a comparison is written into if none is given.

  One folder's is itself; several have one of their own, which says what is compared.
  """
  paths = list(dict.fromkeys(map(os.path.realpath, folders)))
  if len(paths) == 1:
    return folders[0]
  names = [os.path.basename(path) for path in paths]
  told = names[:3] + ([f"and-{len(names) - 3}-more"] if names[3:] else [])
  if names[3:] or len(set(names)) < len(names):  # the names do not say which
    told.append(hashlib.sha256("\n".join(paths).encode()).hexdigest()[:6])
  return os.path.join(ROOT, run_names.file_name("-".join(["compare", *told])))


def check_out(out: str, folders: Sequence[str]) -> None:
  """UserError if --out is a sweep's or a run's folder, or anything else but a report's own."""
  if not out or [os.path.realpath(folder) for folder in folders] == [os.path.realpath(out)]:
    return
  if os.path.exists(os.path.join(out, "sweep.json")) or RunFolder(out).read_config():
    raise UserError(
      f"--out={out} is a sweep's or a run's folder, whose report it has; name another"
    )
  if os.path.exists(out) and not os.path.isdir(out):
    raise UserError(f"--out={out} is a file; name a folder")
  is_ours = all(os.path.exists(os.path.join(out, name)) for name in ("report.html", "results.csv"))
  if os.path.isdir(out) and os.listdir(out) and not is_ours:
    raise UserError(f"--out={out} holds other files, and no report; name a new folder")


def _write(result: Comparison, out: str) -> str:
  from comparing import page  # Plotly and Jinja2 take half a second to import

  path = os.path.join(out, "report.html")
  write_atomically(os.path.join(out, "results.csv"), _csv(result))
  write_atomically(path, page.render(result))
  return path


def _write_pictures(result: Comparison, out: str) -> list[str]:
  """Writes the main plots, each light and dark, beside the page; returns their paths."""
  from comparing import pictures

  return pictures.write(result, out)


def _csv(result: Comparison) -> str:
  """Returns a CSV: the base policy's row, then a row a run.

  Its columns are the state, the config fields in which runs differ, and final eval/ metrics.
  """
  metrics = sorted({name for run in result.runs for name in run.rows.names if name[:5] == "eval/"})
  table = io.StringIO()
  fields = _differing([run.settings for run in result.runs if run.config])
  names = [*_STATE, *(f"config.{field}" for field in fields), *metrics]
  writer = csv.DictWriter(table, names, lineterminator="\n")
  writer.writeheader()
  if result.has_one_base:
    writer.writerow({"run": "base policy"} | {metric: result.base(metric) for metric in metrics})
  for variant in result.variants:
    for run in variant.runs:
      about = {"run": run.name, "variant": variant.name, "seed": run.seed, "state": run.state}
      counts = {key: _whole(run.final(key)) for key in _STATE[4:]}
      config = {f"config.{field}": run.settings.get(field) for field in fields}
      ends = {metric: run.final(metric) for metric in metrics}
      writer.writerow(about | counts | config | ends)
  return table.getvalue()


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
  """Returns the fields in which some of these configs differ."""
  fields = dict.fromkeys(field for found in settings for field in found)
  return [field for field in fields if len({repr(found.get(field)) for found in settings}) > 1]


def _whole(count: float | None) -> float | int | None:
  """80.0 -> 80; 3.5 seconds stay."""
  return int(count) if count is not None and count.is_integer() else count


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
