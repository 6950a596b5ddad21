"""The results as tables: medians, bests, ratios of medians round by round, memory, start-up."""

import statistics
from typing import Any

OURS = "counterpoint"
NAMES = {OURS: "Counterpoint", "trl": "TRL", "tunix": "Tunix"}
# Targets: a peer's time, or memory, as a multiple of ours at least.
SPEED_TARGETS = {
  "dpo": {"trl": 2.0, "tunix": 1.4},
  "grpo": {"trl": 3.0, "tunix": 2.0},
  "generate": {"trl": 2.5, "tunix": 1.5},
  "dpo_pandalm": {"trl": 4.0},
  "grpo_gsm8k": {"trl": 4.0},
  "generate_gsm8k": {"trl": 3.0},
}
MEMORY_TARGETS = {"dpo": 1.0, "grpo": 2.0}  # of TRL's
START_TARGET = 2.0  # of TRL's

Rounds = list[dict[str, Any]]


def line(library: str, record: dict[str, Any]) -> str:
  """Describes one process in a line for the terminal."""
  steps = record["steps"]
  return (
    f"{NAMES[library]} {statistics.median(steps):.2f} s (best {min(steps):.2f}), first step after "
    f"{record['first_step_seconds']:.1f} s, {record['peak_bytes'] / 1e9:.2f} GB"
  )


def markdown(record: dict[str, Any]) -> str:
  """Returns the tables of benchmarks/README.md."""
  works, m = record["works"], record["machine"]
  libraries = [name for name in NAMES if any(name in found for found in works.values())]
  peers = [name for name in libraries if name != OURS]
  versions = {
    k: v
    for found in works.values()
    for rounds in found.values()
    for k, v in rounds[0].get("versions", {}).items()
  }
  about = [
    f"{m['processor']}, {m['cores']} cores; Python {m['python']}; commit {m['commit']}; "
    + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    + f"; load before the start {m['load']:.1f}"
    + f". {record['rounds']} rounds of {record['steps']} steps.",
    "",
  ]
  ratios = [f"{NAMES[peer]} / ours (rounds)" for peer in peers]
  speed = [*(f"{NAMES[x]}, s" for x in libraries), *ratios]
  cost = [
    *(f"{NAMES[x]}, GB" for x in libraries),
    *(f"{NAMES[x]}, first step" for x in libraries),
    "ours, nothing compiled",
  ]
  return "\n".join(
    [
      *about,
      *_table(["step: median (best)", *speed], [_speed(w, works[w], libraries) for w in works]),
      "",
      *_table(["peak memory, start-up", *cost], [_cost(w, works[w], libraries) for w in works]),
      "",
    ]
  )


def _speed(work: str, found: dict[str, Rounds], libraries: list[str]) -> list[str]:
  cells = [work]
  for library in libraries:
    seconds = [s for r in found.get(library, []) for s in r["steps"]]
    cells.append(f"{statistics.median(seconds):.2f} ({min(seconds):.2f})" if seconds else "")
  for peer in libraries[1:]:
    ratios = speed_ratios(found, peer)
    target = SPEED_TARGETS.get(work, {}).get(peer)
    wanted = "" if target is None else f", target {target}"
    spread = f"{min(ratios):.2f}–{max(ratios):.2f}" if ratios else ""
    cells.append(f"**{statistics.median(ratios):.2f}** ({spread}){wanted}" if ratios else "")
  return cells


def speed_ratios(found: dict[str, Rounds], peer: str) -> list[float]:
  """Returns a peer's median step divided by ours, for each round."""
  return [
    statistics.median(theirs["steps"]) / statistics.median(ours["steps"])
    for ours, theirs in zip(found[OURS], found.get(peer, []), strict=False)
  ]


def _cost(work: str, found: dict[str, Rounds], libraries: list[str]) -> list[str]:
  cells = [work]
  ours = max(r["peak_bytes"] for r in found[OURS])
  for library in libraries:
    rounds = found.get(library, [])
    cell = f"{max(r['peak_bytes'] for r in rounds) / 1e9:.2f}" if rounds else ""
    if library == "trl" and rounds and work in MEMORY_TARGETS:
      ratio = max(r["peak_bytes"] for r in rounds) / ours
      cell += f" (**{ratio:.2f}** of ours, target {MEMORY_TARGETS[work]})"
    cells.append(cell)
  for library in libraries:
    rounds = found.get(library, [])
    cell = f"{warm_start(rounds):.1f} s" if rounds else ""
    if library == "trl" and rounds:
      cell += (
        f" (**{warm_start(rounds) / warm_start(found[OURS]):.2f}** of ours, target {START_TARGET})"
      )
    cells.append(cell)
  cells.append(f"{found[OURS][0]['first_step_seconds']:.1f} s")
  return cells


def warm_start(rounds: Rounds) -> float:
  """Returns the seconds from start to the first step's end, for programs compiled before."""
  seconds = [r["first_step_seconds"] for r in rounds]
  return statistics.median(seconds[1:] or seconds)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
  lines = [head, ["---"] * len(head), *rows]
  return [f"| {' | '.join(cells)} |" for cells in lines]
