"""Runs that others share, such as base policies: the first to come trains them, the others wait."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

from ml_collections import ConfigDict

from training import hosts
from training.checking import digests
from training.population import membership
from training.records.run_folder import RunFolder


def folder_at(path: str) -> RunFolder:
  """The run folder at `path`, which only the first of several processes writes."""
  return RunFolder(path, read_only=not hosts.is_first())


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
  """Waits until no other run holds `path`.lock. The system frees it if the holder dies.

  Of several processes that train together the first holds it for all; of a population, whoever
  comes first, and computes apart from the others meanwhile.
  """
  if not hosts.is_first():
    yield
    return
  os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
  with open(f"{path}.lock", "w") as file, membership.apart():
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _is_finished(folder: RunFolder) -> bool:
  return folder.read_status().get("state") == "finished" and bool(folder.checkpoint_steps)


def trained_once(
  folder: RunFolder, config: ConfigDict, config_file: str, train: Callable[[], object]
) -> RunFolder:
  """`folder`, with the run of `config` in it: `train()` is called if it is not finished there.

  Other processes that want it wait meanwhile.
  """
  with locked(folder.path):
    if hosts.first_decides(lambda: _is_finished(folder)):
      return folder
    if not folder.read_config():
      folder.clear()  # what a folder holds that somebody removed under a run
    folder.create(
      config.to_dict(),
      config_file=config_file,
      variant=folder.name,
      **digests.of_run(config),
    )
    with folder.recording_outcome():
      train()
    hosts.wait(f"{folder.name} trained")
  return folder
