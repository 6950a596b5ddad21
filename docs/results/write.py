"""Writes the measured numbers into the documents that quote them, from the archives in this folder.

NAME.json is a comparison, tuned/NAME.json the best.json of the experiments.tune before it, if any.

python -m docs.results.write runs/quick        makes docs/results/quick.json from those runs, then:
python -m docs.results.write                   writes all that quotes an archive
python -m docs.results.write --picture         and draws docs/curves.png; this needs Chromium

A document says where, as in <!-- quick: table -->; what stands from there to <!-- end --> is
written here. The docstring of a sweep file says what came out after "Came out". A test holds all of
them to the archives, and the archives to the sweep files.
"""

import argparse
import glob
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence

from comparing import archive, comparison, finding, swept, verdict
from comparing.comparison import KL, REWARD, SAMPLED, Comparison, Variant
from configs.config_values import flatten
from experiments.sweeping import plan
from training.errors import UserError
from training.estimates import number
from training.records.files import read_json, write_atomically

HERE = os.path.dirname(os.path.relpath(__file__))
DOCUMENTS = ("README.md", "docs/results.md")
MOST = 20  # variants that the docstring of a sweep file names
_BLOCK = re.compile(r"(<!-- (?P<name>\w+): (?P<kind>\w+) -->\n).*?(?=<!-- end -->)", re.S)
_CAME_OUT = re.compile(r"\n\nCame out .*?\n(?=\"\"\")", re.S)


def main(argv: Sequence[str]) -> int:
  parser = argparse.ArgumentParser("docs.results.write", description=__doc__)
  parser.add_argument("folder", nargs="?", help="a sweep's folder, all of whose runs have finished")
  parser.add_argument("--picture", action="store_true", help="draw docs/curves.png anew, too")
  arguments = parser.parse_args(argv)
  try:
    if arguments.folder:
      print(keep(arguments.folder))
    for path, text in texts():
      with open(path) as file:
        is_new = file.read() != text
      if is_new:
        write_atomically(path, text)
        print(path)
    if arguments.picture:
      print(draw())
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


def keep(folder: str) -> str:
  """Makes the archive of a sweep's runs; returns its path."""
  result = comparison.read(folder)
  name = os.path.basename(os.path.normpath(folder))
  path = os.path.join(HERE, f"{name}.json")
  command = f"python -m experiments.sweep --config={shlex.quote(result.file)}"
  runs = {variant.name: variant.runs for variant in result.variants}
  archive.write(path, runs, name=name, file=result.file, command=command)
  return path


def names() -> list[str]:
  return sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(HERE, "*.json")))


def read(name: str) -> Comparison:
  """The comparison in an archive. UserError, saying where, if its sweep file is another by now."""
  path = os.path.join(HERE, f"{name}.json")
  result = comparison.read(path)
  planned = plan.named_configs(result.file)
  kept = {run.name: run for run in result.runs}
  for one in planned.keys() ^ kept.keys():
    raise UserError(f"{path}: {one} is in {'it' if one in kept else result.file} alone")
  for one, run in kept.items():
    now = flatten(planned[one].to_dict())
    differ = [f"{k} {x} -> {now[k]}" for k, x in flatten(run.config).items() if now.get(k, x) != x]
    if differ:
      raise UserError(f"{path}: {result.file} has another {one} by now: {'; '.join(differ[:3])}")
  return result


def texts() -> Iterator[tuple[str, str]]:
  """Each document and sweep file that quotes an archive, and its text as it should be."""
  results = {name: read(name) for name in names()}

  def block(found: re.Match[str]) -> str:
    name, kind = found["name"], found["kind"]
    if name not in results or kind not in KINDS:
      raise UserError(f"<!-- {name}: {kind} -->: archives {', '.join(results)}; kinds {[*KINDS]}")
    return found[1] + KINDS[kind](results[name])

  for path in DOCUMENTS:
    with open(path) as file:
      yield path, _BLOCK.sub(block, file.read())
  for result in results.values():
    with open(result.file) as file:
      yield result.file, _CAME_OUT.sub(lambda _, r=result: docstring(r), file.read(), count=1)


def draw() -> str:
  """docs/curves.png: the default comparison's learning curves."""
  from comparing import pictures  # Plotly takes a moment

  folder = os.path.dirname(HERE)
  written = pictures.write(read("quick"), folder)
  kept = os.path.join(folder, "curves.png")
  for path in written:
    if path != kept:
      os.remove(path)
  return kept


# --- what is quoted -------------------------------------------------------------------------------


def about(result: Comparison) -> str:
  seeds = max(len(variant.finished) for variant in result.variants)
  return (
    f"At commit {result.commit[:7]}, {result.date[:10]}: mean ± 95 % interval over {seeds} seeds "
    f"([every evaluation](results/{result.name}.json)).\n"
  )


def table(result: Comparison) -> str:
  found = verdict.verdict(result)
  if not found:
    raise UserError(f"{result.name}: nothing to rank")
  rows = [
    ["", "variant", "reward, sampled", "Δ to base", "reward, greedy", "KL to base", "rollouts"]
  ]
  rows.append(["---"] * len(rows[0]))
  base = [number(result.base(metric)) for metric in (found.metric, REWARD)]
  if result.base(found.metric) is not None:  # of runs from different ones there is none
    rows.append(["", "base policy", base[0], "", base[1], "0", ""])
  for row in found.rows:
    gain = f"{row.gain.mean:+.3f}{'' if row.gain.is_clear else ' (not clear)'}" if row.gain else ""
    score = f"{number(row.score.mean)} {row.spread}"
    final = [str(row.variant.final(metric)) for metric in (REWARD, KL)]
    rows.append([row.sign, row.variant.name, score, gain, *final, _rollouts(row.variant)])
  return "\n" + _markdown(rows) + "\n▲ best, = level with it, ▼ clearly below it (Holm).\n"


def grid(result: Comparison) -> str:
  """A row for each line along the number that most variants were swept over."""
  axis = max(swept.axes(result), key=lambda axis: sum(len(line.values) for line in axis.lines))
  rows = [[f"`{axis.field}`", *(f"{value:g}" for value in axis.values)]]
  rows.append(["---"] * len(rows[0]))
  for line in axis.lines:
    finals = {x: str(v.final(SAMPLED)) for x, v in zip(line.values, line.variants, strict=True)}
    rows.append([line.name, *(finals.get(value, "") for value in axis.values)])
  return "\n" + _markdown(rows)


def sentences(result: Comparison) -> str:
  found = verdict.verdict(result)
  told = [*(verdict.sentences(found) if found else []), *finding.sentences(result)]
  return "\n" + "\n".join(_filled(f"- {text}", 118, indent="  ") for text in told) + "\n"


def outcome(result: Comparison) -> str:
  """The verdict as a paragraph."""
  found = verdict.verdict(result)
  return _filled(" ".join(verdict.sentences(found) if found else []), 118) + "\n"


def docstring(result: Comparison) -> str:
  """The last paragraph of the sweep file's docstring."""
  found = verdict.verdict(result)
  rows = found.rows if found else ()
  if rest := rows[MOST:]:
    rows = (*rows[:MOST], rest[-1])
  scores = ", ".join(f"{row.variant.name} {number(row.score.mean)}" for row in rows)
  scores += f" (the last of {len(rest) + MOST})" if rest else ""
  base = result.base(found.metric) if found else None
  seeds = max(len(variant.finished) for variant in result.variants)
  text = f"Came out at commit {result.commit[:7]}, sampled reward, mean of {seeds} seeds: {scores}"
  text += "." if base is None else f"; base policy {number(base)}."
  return "\n\n" + _filled(text, 100) + "\n"


def tuned(result: Comparison) -> str:
  """How the values were found, and those that were."""
  found = read_json(os.path.join(HERE, "tuned", f"{result.name}.json"))
  if not found:
    raise UserError(f"docs/results/tuned/{result.name}.json is not there")
  fields = list(
    dict.fromkeys(field for one in found["variants"].values() for field in one["space"])
  )
  rows = [
    ["variant", *(f"`{field}`" for field in fields), "trials, pruned", "updates", "reward, sampled"]
  ]
  rows.append(["---"] * len(rows[0]))
  for name, one in found["variants"].items():
    best, trials = one["best"], one["trials"]
    pruned = sum(trial["outcome"] == "pruned" for trial in trials)
    score = number(trials[one["best_trial"]]["score"])
    values = [f"{best[field]:g}" if field in best else "" for field in fields]
    rows.append([name, *values, f"{len(trials)}, {pruned}", str(one["steps"]), score])
  seeds = ", ".join(map(str, found["seeds"]))
  head = (
    f"At commit {found['commit'][:7]}, on seeds {seeds}, which the comparison does not use:\n\n"
  )
  return head + _markdown(rows)


KINDS: dict[str, Callable[[Comparison], str]] = {
  "about": about,
  "table": table,
  "grid": grid,
  "outcome": outcome,
  "sentences": sentences,
  "tuned": tuned,
}


def _markdown(rows: Sequence[Sequence[str]]) -> str:
  return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _filled(text: str, width: int, indent: str = "") -> str:
  return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def _rollouts(variant: Variant) -> str:
  found = variant.final("rollouts")
  return f"{found.mean:,.0f}" if found else ""


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
