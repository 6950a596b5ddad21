"""A run's folder: the source of truth about one training run (W&B is a mirror of it).

  config.json      the resolved config, the run's names, its digest and those of what it names
  command.txt      what to type to train it alone
  env.json         commit, versions, device, tokenizer
  data.txt         of a data set of texts: lengths, and how much was cut or left out
  bad_rows.jsonl   the rows that were left out, and why
  status.json      how far it is, or how it ended
  metrics.jsonl    one flat row a line; rows of step 0 are the base policy's evaluation
  prompts.jsonl    the rewards of every held-out prompt at every evaluation that has rewards
  completions.jsonl  greedy and sampled completions of the same prompts at every evaluation
  groups.jsonl     a few of the groups that were trained on
  log.txt          what it printed, in a sweep
  checkpoints/<step>/  Orbax's files, their checksums, and digests of the rows until then
  waiting/, replay/, reference/  what is drawn already and used later, beside each checkpoint
  damaged_checkpoints/  those that --from_earlier set aside

Whole files are replaced atomically and the .jsonl files grow by whole lines, so a reader never sees
half a file and a run killed at any moment loses at most the line it was writing.
"""

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

from tasks.rows.row import Problem
from training.errors import Diverged, Stopped, UserError
from training.records import environment, files
from training.records.checksums import is_unfinished, lacks_files
from training.records.files import finite, json_text, read_json, read_text, write_atomically
from training.records.rows import each_row, read_ends, read_rows, truncate

Report = Callable[[dict[str, Any]], None]  # takes each row of metrics as it is written

ROW_FILES = ("metrics.jsonl", "completions.jsonl", "prompts.jsonl", "groups.jsonl")

# A run is judged by the first of these that it has.
HEADLINES = ("eval/reward_sampled", "eval/accuracy", "eval/implied_accuracy")


@dataclasses.dataclass(frozen=True)
class RunFolder:
  """The files of one run under `path`, e.g. runs/quick/grpo-k8-s0."""

  path: str
  read_only: bool = False  # another process writes the files: nothing is written here

  @property
  def name(self) -> str:
    return os.path.basename(os.path.normpath(self.path))

  @property
  def checkpoints(self) -> str:
    """Absolute, because Orbax refuses relative paths."""
    return os.path.abspath(self._file("checkpoints"))

  @property
  def checkpoint_step(self) -> int:
    """The step of the latest checkpoint, from which a run that was stopped goes on; 0: none."""
    return max(self.checkpoint_steps, default=0)

  @property
  def checkpoint_steps(self) -> list[int]:
    """Those with a checkpoint, in order; without those that were never finished."""
    return [step for step in self._steps() if not is_unfinished(self.checkpoint(step))]

  @property
  def unfinished_checkpoints(self) -> list[int]:
    return [step for step in self._steps() if is_unfinished(self.checkpoint(step))]

  @property
  def half_deleted_checkpoints(self) -> list[int]:
    """Those that lack files, before the last: a kill came while Orbax deleted them."""
    return [step for step in self._steps()[:-1] if lacks_files(self.checkpoint(step))]

  def checkpoint(self, step: int) -> str:
    return os.path.join(self.checkpoints, str(step))

  def _steps(self) -> list[int]:
    names = os.listdir(self.checkpoints) if os.path.isdir(self.checkpoints) else []
    return sorted(int(name) for name in names if name.isdigit())

  @property
  def log(self) -> str:
    return self._file("log.txt")

  def create(
    self,
    config: Mapping[str, Any],
    *,
    digest: str,
    digests: Mapping[str, str] | None = None,
    config_file: str,
    variant: str = "",
    sweep: str = "",
    command: str = "",
  ) -> None:
    """Writes config.json and command.txt.

    Args:
      digest, digests: as `digests.of_run` has them.
      variant: defaults to the name without its seed.
    Raises:
      UserError: there are rows or checkpoints, and nothing that says of which run.
    """
    if not self.read_config() and (self._steps() or self.read_metrics()):
      raise UserError(
        f"{self._file('config.json')} is gone, so that nobody can tell which run the rest is of: "
        f"restore it, or start again after rm -r {shlex.quote(self.path)}"
      )
    variant = variant or self.name.removesuffix(f"-s{config.get('seed')}")
    about = {
      "name": self.name,
      "variant": variant,
      "sweep": sweep,
      "config_file": config_file,
      "created": self.read_config().get("created", int(time.time())),
      "digest": digest,
      "digests": digests or {},
    }
    self._write("config.json", json_text(about | {"config": config}))
    self._write("command.txt", command + "\n")

  def check_there(self, error: Exception | None = None) -> None:
    """UserError if the folder was removed after `create`, or in part: what `error` did not find."""
    sought = error.filename if isinstance(error, FileNotFoundError) else None
    inside = os.path.join(os.path.abspath(self.path), "")
    lacks_part = sought is not None and os.path.abspath(sought).startswith(inside)
    is_there = os.path.exists(self._file("config.json"))
    if not self.read_only and (lacks_part or not is_there):
      if is_there:
        self.mark("stopped", "a part of its folder was removed")
      raise UserError(
        f"{self.path} was removed while it was trained. Type the same command again to start again"
      )

  def write_env(self, device: str, tokenizer: str) -> None:
    """`device` is what jax found, e.g. "cpu x1"; `tokenizer` names what ends and what pads."""
    about = environment.describe(device) | {"tokenizer": tokenizer}
    self._write("env.json", json_text(about))

  def write_data(self, lines: list[str], problems: Iterable[Problem]) -> None:
    """Keeps a description of the texts that are trained on, and the rows that were left out."""
    if lines:
      self._write("data.txt", "\n".join(lines) + "\n")
    if listed := [json.dumps({"where": p.where, "problem": p.what}) for p in problems]:
      self._write("bad_rows.jsonl", "\n".join(listed) + "\n")

  def write_status(
    self,
    state: str,
    *,
    step: int = 0,
    steps: int = 0,
    reason: str = "",
    metrics: Mapping[str, Any] | None = None,
  ) -> None:
    """`state` is running, finished, diverged, failed or stopped; `metrics` the latest values."""
    status = {"state": state, "step": step, "steps": steps, "reason": reason}
    status |= {"pid": os.getpid(), "started": environment.process_start(os.getpid())}
    status |= {"time": time.time(), "metrics": finite(metrics or {})}
    self._write("status.json", json_text(status))

  def mark(self, state: str, reason: str = "") -> None:
    """Changes the state, keeping the step and the metrics that the run reached."""
    old = self.read_status()
    reached = {"step": old.get("step", 0), "steps": old.get("steps", 0)}
    self.write_status(state, **reached, reason=reason, metrics=old.get("metrics", {}))

  @contextlib.contextmanager
  def recording_outcome(self) -> Generator[None]:
    """Marks the run as running, then as finished, stopped, diverged or failed; re-raises."""
    self.mark("running")
    try:
      yield
    except KeyboardInterrupt:
      self.mark("stopped", "interrupted")
      raise
    except Stopped as error:
      self.mark("stopped", str(error))
      raise
    except Diverged as error:
      self.mark("diverged", str(error))
      raise
    except UserError as error:
      self.mark("failed", str(error))
      raise
    except Exception as error:
      self.check_there(error)  # what Orbax, say, raises without its folder is said as that
      self.mark("failed", f"{type(error).__name__}: {error}")
      raise
    self.mark("finished")

  def append_metrics(self, row: Mapping[str, Any]) -> None:
    """Adds one flat row, with at least "step"; NaN and infinity become null."""
    self._append("metrics.jsonl", [row])

  def replace_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
    """These rows instead of those that are there."""
    self._write("metrics.jsonl", "".join(json.dumps(finite(row)) + "\n" for row in rows))

  def append_completions(self, rows: Iterable[Mapping[str, Any]]) -> None:
    self._append("completions.jsonl", rows)

  def append_prompts(self, row: Mapping[str, Any]) -> None:
    """Adds the rewards by prompt of one evaluation: {"step", "greedy": [...], "sampled": [...]}."""
    self._append("prompts.jsonl", [row])

  def append_groups(self, rows: Iterable[Mapping[str, Any]]) -> None:
    self._append("groups.jsonl", rows)

  def truncate(self, step: int) -> list[str]:
    """Drops what was written after `step`, where the run resumes and writes it again.

    Also drops a half-written last line; -1 drops everything. Other lines that are no rows are set
    aside, beside their file; says so, a line a file.
    """
    said = []
    for name in ROW_FILES:
      path = self._file(name)
      if self.read_only or not os.path.exists(path):
        continue
      if broken := truncate(path, step):
        said.append(f"{path}: {len(broken)} lines are no rows: set aside in {path}.broken")
    return said

  def read_config(self) -> dict[str, Any]:
    """All of config.json (the config itself is under "config"); {} if there is none."""
    path = self._file("config.json")
    found = read_json(path)  # a pretrained model's folder has another of this name
    needs = {"digest": str, "config": dict}
    return files.with_all(found, path, needs) if "config" in found else found

  def read_command(self) -> str:
    """The command that trains it alone; "" if nobody knows."""
    return read_text(self._file("command.txt")).strip()

  def read_env(self) -> dict[str, Any]:
    return read_json(self._file("env.json"))

  def read_status(self) -> dict[str, Any]:
    needs = {"state": str, "step": int, "steps": int, "reason": str, "metrics": dict}
    return read_json(self._file("status.json"), needs)

  def read_metrics(self) -> list[dict[str, Any]]:
    """All rows in the order written; a value that was not finite is None."""
    return self._read_lines("metrics.jsonl")

  def each_metrics(self) -> Iterator[dict[str, Any]]:
    """The rows of `read_metrics` one by one, where there may be a great many."""
    return (row for _, row in each_row(self._file("metrics.jsonl")) if row is not None)

  def read_ends(self, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the first and the last step of "completions" or "groups", whatever their size."""
    return read_ends(self._file(f"{name}.jsonl"))

  def read_completions(self) -> list[dict[str, Any]]:
    return self._read_lines("completions.jsonl")

  def read_prompts(self) -> list[dict[str, Any]]:
    """The rewards by prompt of each evaluation; [] of a run that was made before they were kept."""
    return self._read_lines("prompts.jsonl")

  def read_groups(self) -> list[dict[str, Any]]:
    return self._read_lines("groups.jsonl")

  def state(self, digest: str) -> str:
    """The state that a launch with the config of this digest would find here:

    new, changed (another config's run), running (by a live process), finished, diverged, failed, or
    resume (it was stopped, or its process died).
    """
    config, status = self.read_config(), self.read_status()
    if not config:
      return "new"
    if config["digest"] != digest:
      return "changed"
    state = status.get("state", "stopped")
    pid, started = status.get("pid"), status.get("started")
    if state == "running" and pid and environment.is_alive(pid, str(started)):
      return "running"
    return state if state in ("finished", "diverged", "failed") else "resume"

  def clear(self) -> None:
    """Deletes the run, to start it again from nothing."""
    if not self.read_only:
      shutil.rmtree(self.path, ignore_errors=True)

  def _file(self, name: str) -> str:
    return os.path.join(self.path, name)

  def _write(self, name: str, text: str) -> None:
    if not self.read_only:
      write_atomically(self._file(name), text)

  def _append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    if self.read_only:
      return
    os.makedirs(self.path, exist_ok=True)
    with open(self._file(name), "a") as file:
      file.write("".join(json.dumps(finite(row)) + "\n" for row in rows))

  def _read_lines(self, name: str) -> list[dict[str, Any]]:
    return read_rows(self._file(name))[0]


def headline(row: Mapping[str, Any]) -> float | None:
  """The number that the best checkpoint has most of; None if the row has none."""
  return row.get(headline_name(row))


def headline_name(row: Mapping[str, Any]) -> str:
  """The first of HEADLINES that these metrics have; "" if none."""
  return next((name for name in HEADLINES if row.get(name) is not None), "")
