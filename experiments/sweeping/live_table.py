"""A sweep's progress: a table that redraws itself on a terminal, otherwise a line an event."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Generator, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comparing.safe_text import safe_text
from experiments.sweeping.workers import Event
from tasks.visible_text import visible

_LOOK = {  # state -> its sign and colour
  "queued": ("·", "dim"),
  "running": ("▶", "cyan"),
  "finished": ("✓", "green"),
  "pruned": ("✂", "dim"),
  "stopped": ("■", "yellow"),
  "diverged": ("✗", "red"),
  "failed": ("✗", "red"),
}
_IMPORTANCE = ("running", "failed", "diverged", "stopped", "finished", "pruned", "queued")


@dataclasses.dataclass(frozen=True)
class Moment:
  """The time at which a step was done, in seconds of `time.monotonic`."""

  step: int
  time: float


@dataclasses.dataclass
class JobStatus:
  """The status of a job, which is a run or a base policy. `metrics` are its latest values."""

  name: str
  state: str = "queued"
  step: int = 0
  steps: int = 0
  metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
  doing: str = ""  # a word for its work before it trains
  warning: str = ""  # the last one
  began: float = 0.0  # seconds of `time.monotonic`; 0: not yet
  ended: float = 0.0
  first: Moment | None = None  # its first step here; the pace counts from it, without compilation
  is_run: bool = True

  @property
  def elapsed(self) -> float:
    return (self.ended or time.monotonic()) - self.began if self.began else 0.0

  @property
  def left(self) -> float:
    """Seconds still to go at the pace so far; 0 if that is unknown, or the job has ended."""
    if self.state != "running" or not self.first or self.step == self.first.step:
      return 0.0
    pace = (time.monotonic() - self.first.time) / (self.step - self.first.step)
    return pace * (self.steps - self.step)

  def update(self, event: Event) -> None:
    if event.kind == "started":
      # For the second time where its process was killed: from an earlier step, and compiling.
      self.state, self.began, self.first = "running", time.monotonic(), None
    elif event.kind == "progress":
      self._progress(dict(event.progress))
    else:
      self.state, self.ended = event.kind, time.monotonic()

  def _progress(self, report: dict[str, Any]) -> None:
    self.warning = report.pop("warning", self.warning)
    if not report:
      return
    before, self.doing = self.doing, report.pop("doing", "")
    self.step = report.pop("step", self.step)
    self.steps = report.pop("steps", self.steps)
    if self.doing != before:
      self.first = None
    if not self.first and self.step > 0:
      self.first = Moment(self.step, time.monotonic())
    self.metrics |= report


class LiveTable:
  """The rows of a sweep, drawn on `console` while `shown`."""

  def __init__(self, title: str, rows: Sequence[JobStatus], jobs: int, console: Console):
    self._title = title
    self._rows = {row.name: row for row in rows}
    self._jobs = jobs
    self._console = console
    self._began = time.monotonic()
    self.note = ""  # shown beside the title

  @contextlib.contextmanager
  def shown(self) -> Generator[None]:
    if not self._console.is_terminal:
      yield
      return
    with Live(get_renderable=self.draw, console=self._console, refresh_per_second=4):
      yield

  def update(self, event: Event) -> None:
    row = self._rows[event.job.name]
    row.update(event)
    if not self._console.is_terminal and event.kind != "progress":
      print(visible(_line(row, event.reason)), flush=True)

  def leave_out(self, name: str) -> None:
    """Forgets a queued row that nobody will run."""
    self._rows.pop(name, None)

  def draw(self) -> RenderableType:
    """Draws the title and as many rows as fit on the terminal; the others are counted."""
    is_wide = self._console.width >= 100
    table = Table(box=None, padding=(0, 2 if is_wide else 1, 0, 0))
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=10)
    if is_wide:
      table.add_column("", width=16)
    for name, width in (
      ("step", 7),
      ("reward", 6),
      ("kl", 6),
      ("rollouts", 8),
      ("time", 9),
    ):
      table.add_column(name, justify="right", no_wrap=True, min_width=width)
    shown, hidden = self._fitting(self._console.height - 4)
    for row in shown:
      name, state, bar, *numbers = _cells(row)
      table.add_row(name, state, *([bar] if is_wide else []), *numbers)
    return Group(self._headline(), table, *([Text(hidden, style="dim")] if hidden else []))

  def _headline(self) -> Text:
    runs = [row for row in self._rows.values() if row.is_run]
    states = collections.Counter(row.state for row in runs)
    failed = states["diverged"] + states["failed"]
    words = f"{states['finished']}/{len(runs)} finished" + (f", {failed} failed" if failed else "")
    words += f", {states['pruned']} pruned" if states["pruned"] else ""
    left = self._left(runs)
    times = _clock(time.monotonic() - self._began) + (
      f", about {_clock(left)} left" if left else ""
    )
    note = (f"   {self.note}", "yellow")
    return Text.assemble(safe_text(self._title, "bold"), f"   {words}   {times}", note)

  def _left(self, runs: Sequence[JobStatus]) -> float:
    """Returns seconds to the end of the sweep; 0 until a run has shown how long one takes."""
    known = [row.elapsed + row.left for row in runs if row.began and (row.ended or row.left)]
    if not known:
      return 0.0
    mean = sum(known) / len(known)
    states = [row.state for row in runs]
    running = sum(row.left or mean for row in runs if row.state == "running")
    return (states.count("queued") * mean + running) / max(self._jobs, states.count("running"))

  def _fitting(self, height: int) -> tuple[list[JobStatus], str]:
    """Returns the rows that fit, in the sweep's order, and a line about the rest."""
    rows = list(self._rows.values())
    if len(rows) <= height:
      return rows, ""
    ranked = sorted(rows, key=lambda row: (_IMPORTANCE.index(row.state), -row.ended))
    kept = {row.name for row in ranked[: max(height - 1, 1)]}
    states = [row.state for row in rows if row.name not in kept]
    rest = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return [row for row in rows if row.name in kept], f"… and {rest}"


def _cells(row: JobStatus) -> list[RenderableType]:
  sign, colour = _LOOK[row.state]
  metrics, is_running = row.metrics, row.state == "running"
  return [
    safe_text(row.name),
    Text(f"{sign} {row.doing or row.state}", style=colour),
    ProgressBar(row.steps or 1, row.step) if is_running else "",
    f"{row.step}/{row.steps}" if row.steps and row.state != "queued" else "",
    _number(_first(metrics, "eval/reward_sampled", "eval/reward", "train/reward")),
    _number(_first(metrics, "eval/kl", "train/kl")),
    f"{metrics['rollouts']:,.0f}" if "rollouts" in metrics else "",
    f"{_clock(row.left)} left" if row.left else _clock(row.elapsed) if row.began else "",
  ]


def _line(row: JobStatus, reason: str) -> str:
  """ "dpo-s0: finished  80/80  reward 0.512  kl 0.210  20,480 rollouts  0:21"."""
  words = [f"{row.name}: {row.state}"]
  if row.state != "running":
    words += [f"{row.step}/{row.steps}" if row.steps else ""]
    for label, keys in (("reward", ("eval/reward_sampled", "eval/reward")), ("kl", ("eval/kl",))):
      if (found := _first(row.metrics, *keys)) is not None:
        words += [f"{label} {found:.3f}"]
    words += [_clock(row.elapsed), reason, f"warning: {row.warning}" if row.warning else ""]
  return "  ".join(word for word in words if word)


def _first(metrics: dict[str, Any], *names: str) -> float | None:
  """The first of these that there is."""
  return next((metrics[name] for name in names if metrics.get(name) is not None), None)


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.3f}"


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
