"""A run as a person has it: trained from a config, or loaded from its folder.

Importing this imports no jax: a config is checked before.
"""

import contextlib
import dataclasses
import glob
import importlib.util
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_collections import ConfigDict

from training.checking import (
  config_files,
  digests,
  evaluated_config,
  longer,
  loss_signatures,
  pretrained_model,
  validate,
)
from training.errors import UserError
from training.records import metric_columns
from training.records.earlier import set_damaged_aside
from training.records.hold import held
from training.records.run_folder import Report, RunFolder
from training.records.run_names import file_name

if TYPE_CHECKING:
  from training.evaluation import Evaluated
  from training.policy import Policy

ROOT = "runs"  # base policies, reward models and data sets that runs share lie below it


@dataclasses.dataclass(frozen=True)
class Run:
  """A run in its folder. Everything is read, or loaded, when it is first asked for."""

  folder: str
  root: str = ROOT
  _places: tuple[str, str] = dataclasses.field(init=False, repr=False, compare=False)  # absolute

  def __post_init__(self) -> None:
    here = os.path.abspath(self.folder), os.path.abspath(self.root)
    object.__setattr__(self, "_places", here)  # a notebook may go to another folder later

  @property
  def name(self) -> str:
    return self._files.name

  @cached_property
  def config(self) -> ConfigDict:
    return config_files.of_record(self._files.read_config()["config"]).lock()

  @property
  def state(self) -> str:
    """running, finished, diverged, failed or stopped."""
    return self._files.read_status().get("state", "stopped")

  @property
  def latest_step(self) -> int:
    return self._files.read_status().get("step", 0)

  @property
  def latest(self) -> dict[str, Any]:
    """The last value of every metric; None for one that was not finite."""
    return self._files.read_status().get("metrics", {})

  @property
  def metrics(self) -> Any:
    """The rows of metrics.jsonl as columns: a pandas frame, or a dict of arrays without pandas.

    Both have a column a metric, `metrics["train/loss"]`, and a row a step, of which "step" is the
    number; NaN where a row has no value. Read anew each time, so it follows a run that trains.
    """
    rows = metric_columns.of_run(self._files.path)
    everywhere = np.arange(len(rows))
    columns = {name: rows.at(name, everywhere) for name in rows.names}
    columns |= {"step": rows.steps} if len(rows) else {}
    if importlib.util.find_spec("pandas") is None:
      return columns
    import pandas  # pyrefly: ignore[missing-import]

    return pandas.DataFrame(columns)

  @property
  def completions(self) -> list[dict[str, Any]]:
    """Completions of the same held-out prompts at every evaluation: completions.jsonl, as dicts."""
    return self._files.read_completions()

  @property
  def groups(self) -> list[dict[str, Any]]:
    """A few of the groups that were trained on, with what the loss did to each: groups.jsonl."""
    return self._files.read_groups()

  @cached_property
  def policy(self) -> "Policy":
    """The policy of the latest checkpoint. UserError for a reward model, or without one."""
    return self.policy_at(None)

  def policy_at(self, step: int | None, mesh: Mapping[str, int] | None = None) -> "Policy":
    """The policy of the checkpoint at `step` (None: the latest). UserError if there is none.

    It lies on one device, or on this mesh: {"data": 2, "fsdp": 1, "tensor": 1}.
    """
    from training.policy import ONE_DEVICE, Policy  # it imports jax

    if "scores" in loss_signatures.words_of(self.config):
      raise UserError(f"{self.folder} is a reward model; its eval/accuracy is in metrics.jsonl")
    return Policy.of_run(self._files, self._places[1], step, mesh or ONE_DEVICE)

  def evaluate(
    self, task: Any = None, *, samples: int = 16, step: int | None = None
  ) -> "Evaluated":
    """Greedy and sampled responses to held-out prompts, scored: means with standard errors.

    Args:
      task: None: the run's own. A name, as in config.task.name, with that task's own reward and
        options; or a `tasks.task.Task`.
      samples: responses drawn for each prompt; pass@k is estimated for k = 1, 2, 4, ... n
      step: of the checkpoint; None: the latest.
    """
    if samples < 1:
      raise UserError(f"samples={samples}: at least 1")
    policy = self.policy if step is None else self.policy_at(step)
    if task is None:
      return policy.evaluate(samples)
    if isinstance(task, str):
      config = evaluated_config.of_run(self.config, task, {})
      return policy.with_config(config).evaluate(samples)
    return policy.with_task(task).evaluate(samples)

  @property
  def _files(self) -> RunFolder:
    return RunFolder(self._places[0])


def load_run(folder: str, *, root: str = "") -> Run:
  """The run in this folder, whatever its state. UserError if there is none.

  `root` is where its base policy lies; by default the nearest folder above that has base/.
  """
  if not RunFolder(folder).read_config():
    raise UserError(f"{folder} is no run's folder (it would hold config.json)")
  return Run(folder, root or _root_of(folder))


def load_runs(folder: str, *, root: str = "") -> list[Run]:
  """All runs below a folder, such as a sweep's, by name. UserError if there are none."""
  found = [
    path
    for path, folders, files in os.walk(folder)
    if "config.json" in files and not folders.clear()  # a run's own folders hold no others
  ]
  if not found:
    raise UserError(f"{folder}: no run's folder is in it (they would hold config.json)")
  return [Run(path, root or _root_of(path)) for path in sorted(found)]


def _root_of(folder: str) -> str:
  """The nearest folder above a run (of a sweep, a deployment) that has base policies in base/."""
  above = folder
  for _ in range(3):
    above = os.path.dirname(os.path.abspath(above))
    if glob.glob(os.path.join(above, "base", "*", "config.json")):
      return above if os.path.isabs(folder) else os.path.relpath(above)
  return ROOT


def train(
  config: ConfigDict | str,
  folder: str = "",
  *,
  root: str = ROOT,
  report: Report = lambda row: None,
  overwrite: bool = False,
  from_earlier: bool = False,
  processes: int = 1,
  **about: str,
) -> Run:
  """Trains what the config asks for, or goes on where the folder's last checkpoint left it.

  A finished run is returned as it is, so that a notebook's cell can be run again; given more steps,
  it goes on where that makes the run that had them from the start (`checking.longer`).

  Args:
    config: of `load_config`, or a file's get_config(); or the file: "configs/grpo.py:k=4".
    folder: the run's own; by default below `root`, named after the loss and the config's digest.
    root: the folder of what runs share; base policies and data sets are made there once.
    report: called with every row of metrics, {"step", "steps", metric: value}; with {"doing", ...}
      while something is prepared, and with {"warning"}.
    overwrite: delete the run that is there and start again.
    from_earlier: if the last checkpoint is damaged, go on from the one before it.
    processes: how many processes call this with the same arguments, to train together.
    about: kept beside the config by RunFolder.create: config_file, variant, sweep, command.

  Raises:
    UserError: the config makes no sense, or the folder holds another run. Nothing was trained.
    Diverged: the loss or its gradient is no longer finite.
  """
  config = config_files.load(config) if isinstance(config, str) else config_files.complete(config)
  as_ever = not (overwrite or from_earlier)
  if folder and as_ever and processes == 1 and is_finished(config, folder):
    return Run(folder, root)
  check(config)
  of_run = digests.of_run(config)
  loss = file_name(config.algorithm.loss.rpartition(":")[2])
  path = folder or os.path.join(root, f"{loss}-{of_run['digest']}-s{config.seed}")
  files = RunFolder(path)
  set_aside: list[str] = []
  with contextlib.ExitStack() as stack:

    def is_ready() -> bool:
      stack.enter_context(held(files))  # before the first look at what is there
      is_left = prepare(files, config=config, digest=of_run["digest"], overwrite=overwrite)
      set_aside.extend(set_damaged_aside(files) if from_earlier else ())
      return is_left or bool(set_aside)

    if processes == 1 and not is_ready():
      return Run(path, root)

    from training import assembly, hosts, shared_runs  # jax, now that the config is good

    if processes > 1:
      hosts.check_same("configs", f"{path} {config.to_json_best_effort()}")
      files = shared_runs.folder_at(path)
      if not hosts.first_decides(is_ready):
        return Run(path, root)
    names: dict[str, Any] = {"config_file": "", **about, **of_run}
    with files.recording_outcome():  # first: a run of more steps than before is finished no more
      files.create(config.to_dict(), **names)
      report({"doing": "start", "step": 0, "steps": config.steps})
      for warning in set_aside:
        report({"warning": warning})
      assembly.train(config, files, root, report)
    hosts.wait("run finished")  # the first may still be busy with W&B
  return Run(path, root)


def check(config: ConfigDict, *, rows: bool = True, weights: bool = True) -> None:
  """UserError with everything that is wrong. Fills in what a pretrained model's files say.

  `rows`: of the rows of data sets, too, which takes as long as reading them. `weights`: and that a
  pretrained model's folder has its weights; a folder without them has a shape.
  """
  validate.check(config, rows=rows, weights=weights)
  pretrained_model.fill(config)


def is_finished(config: ConfigDict, folder: str) -> bool:
  """Whether the folder holds the finished run of this config. Its rows are not read."""
  files = RunFolder(folder)
  if files.read_status().get("state") != "finished":
    return False
  config = config.copy_and_resolve_references()
  try:
    check(config, rows=False)
    return longer.state_of(files, config, digests.of_run(config)["digest"]) == "finished"
  except UserError:
    return False  # said when all is checked


def prepare(files: RunFolder, *, config: ConfigDict, digest: str, overwrite: bool) -> bool:
  """Whether there is something to train. UserError where training would lose, or disturb, a run."""
  state = longer.state_of(files, config, digest)
  if overwrite and state != "running":
    _refuse_to_delete(files)
    files.clear()
    state = "new"
  if state != "finished":
    _refuse(files, state, config)
  return state != "finished"


def _refuse(files: RunFolder, state: str, config: ConfigDict) -> None:
  """UserError where training here would lose, or disturb, the run that is there."""
  if state == "running":
    raise UserError(f"{files.path}: another process is training this run")
  if state == "changed":
    raise UserError(
      f"{files.path} holds a run of {digests.difference(files.read_config(), config)}.\n"
      f"{longer.advice(files, config)}Give this one --out=FOLDER, or --overwrite to delete that one"
    )
  if state == "diverged":
    raise UserError(
      f"{files.path} diverged: {files.read_status()['reason']}\n"
      "Change the config, or --overwrite to start again"
    )


def _refuse_to_delete(files: RunFolder) -> None:
  """UserError if the folder that --overwrite would delete holds something else than a run."""
  if os.path.isdir(files.path) and os.listdir(files.path) and not files.read_config():
    raise UserError(f"--out={files.path} is no run's folder (it has no config.json): not deleted")
