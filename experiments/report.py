"""Writes the comparison of a sweep's runs as one page that needs no network, and as a table.

python -m experiments.report runs/quick
python -m experiments.report runs/quick runs/mine     both in one comparison, in runs/
python -m experiments.report runs/quick --baseline=grpo-k8    differences from that variant
python -m experiments.report runs/quick --png         also its plots as pictures, for papers; this
                                                      needs Chromium or Chrome on the PATH

Writes report.html and results.csv (a row a run, with the config fields that differ). A sweep
writes both itself when it ends.
"""

import csv
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from comparing import comparison
from comparing.comparison import Comparison
from experiments.command_line import cli
from training.errors import UserError
from training.records.run_folder import write_atomically

_STATE = ("run", "variant", "seed", "state", "step", "rollouts", "tokens", "seconds")


def main(argv: Sequence[str]) -> int:
  parser = cli.positional("report", __doc__)
  parser.add_argument("folders", nargs="+", help="a sweep's or a run's folder, e.g. runs/quick")
  parser.add_argument(
    "--baseline", default="", help="the variant that others are compared with (default: the first)"
  )
  parser.add_argument("--png", action="store_true", help="also write the plots as PNG files")
  arguments = parser.parse_args(argv)
  try:
    result = comparison.read(*arguments.folders, baseline=arguments.baseline)
    for note in filter(None, (*result.problems, result.nothing_shared)):
      print(f"note: {note}", file=sys.stderr)
    written = [_write(result), *(_write_pictures(result) if arguments.png else [])]
  except (UserError, OSError) as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print("\n".join(written))
  return 0


def write(*folders: str) -> str:
  """Writes report.html and results.csv and returns the page's path.

  They go into the folder, or if there are several into the one that holds them all.
  Raises UserError if a folder holds no runs.
  """
  return _write(comparison.read(*folders))


def _write(result: Comparison) -> str:
  from comparing import page  # Plotly and Jinja2 take half a second to import

  folders = result.folders
  path = os.path.join(_home(folders), "report.html")
  write_atomically(os.path.join(_home(folders), "results.csv"), _csv(result))
  write_atomically(path, page.render(result))
  return path


def _write_pictures(result: Comparison) -> list[str]:
  """Writes the main plots, each light and dark, beside the page; returns their paths."""
  from comparing import pictures

  return pictures.write(result, _home(result.folders))


def _home(folders: Sequence[str]) -> str:
  if len(folders) == 1:
    return folders[0]
  return os.path.relpath(os.path.commonpath([os.path.abspath(folder) for folder in folders]))


def _csv(result: Comparison) -> str:
  """Returns a CSV: the base policy's row, then a row a run.

  Its columns are the state, the config fields in which runs differ, and final eval/ metrics.
  """
  metrics = sorted(
    {key for run in result.runs for row in run.rows for key in row if key[:5] == "eval/"}
  )
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
