"""What came of the trials: a row each in trials.jsonl, and a table."""

import collections
import dataclasses
import json
import pathlib
import threading

from tests.chaos.faults import FAULTS
from tests.chaos.trials import SAID, SAME, UNREAD, WRONG, Verdict


class Tally:
  """Counts injections, by work and fault; each verdict is written down as it comes."""

  def __init__(self, folder: pathlib.Path, about: str):
    self._path, self._about, self._lock = folder, about, threading.Lock()
    self.counts: dict[tuple[str, str], collections.Counter[str]] = {}
    self.wrong: list[Verdict] = []

  def add(self, verdict: Verdict) -> None:
    with self._lock:
      counter = self.counts.setdefault((verdict.work, verdict.fault), collections.Counter())
      counter[verdict.verdict] += max(verdict.injected, verdict.verdict == WRONG)
      if verdict.verdict == WRONG:
        self.wrong.append(verdict)
      with open(self._path / "trials.jsonl", "a") as file:
        file.write(json.dumps(dataclasses.asdict(verdict)) + "\n")
      (self._path / "table.md").write_text(f"{self._about}\n\n{self.table()}\n")

  def injected(self, fault: str) -> int:
    return sum(c.total() for (_, name), c in self.counts.items() if name == fault)

  def table(self) -> str:
    """Markdown: a row a work, a column a fault; "40, 3 said" of 43, of which 40 ended the same."""
    faults = [name for name in FAULTS if self.injected(name)]
    works = list(dict.fromkeys(work for work, _ in self.counts))
    lines = ["| work | " + " | ".join(faults) + " |", "| --- " * (1 + len(faults)) + "|"]
    for work in works:
      cells = [_cell(self.counts.get((work, fault), collections.Counter())) for fault in faults]
      lines.append(f"| {work} | " + " | ".join(cells) + " |")
    totals = []
    for fault in faults:
      counters = [c for (_, name), c in self.counts.items() if name == fault]
      totals.append(_cell(sum(counters, collections.Counter())))
    return "\n".join([*lines, "| all | " + " | ".join(totals) + " |"])


def _cell(counter: collections.Counter[str]) -> str:
  parts = [str(counter[SAME])] if counter[SAME] else []
  parts += [f"{counter[word]} {word}" for word in (SAID, UNREAD) if counter[word]]
  parts += [f"**{counter[WRONG]} wrong**"] if counter[WRONG] else []
  return ", ".join(parts)
