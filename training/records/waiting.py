"""Arrays that are drawn already, beside a checkpoint: no later policy would draw the same."""

import contextlib
import os
import re
import zipfile
from collections.abc import Mapping

import jax
import numpy as np

from training.errors import UserError
from training.records.run_folder import RunFolder

Arrays = Mapping[str, np.ndarray]


class Waiting:
  """Files of named sets of arrays below a run's folder, one a checkpoint and process."""

  def __init__(self, folder: RunFolder, name: str):
    self._run, self._folder = folder, os.path.join(folder.path, name)

  def write(self, step: int, sets: Mapping[str, Arrays]) -> None:
    """Writes those of this step, and deletes those before the last whose checkpoint is gone.

    A checkpoint is written in the background: till it is there, a run goes on from another.
    """
    os.makedirs(self._folder, exist_ok=True)
    path = self._path(step)
    flat = {f"{name}/{key}": x for name, arrays in sets.items() for key, x in arrays.items()}
    with open(path + ".part", "wb") as file:
      np.savez(file, **flat)  # pyrefly: ignore[bad-argument-type]
      file.flush()
      os.fsync(file.fileno())
    os.replace(path + ".part", path)
    own = re.compile(rf"(\d+)-{jax.process_index()}\.npz")
    steps = sorted(int(m[1]) for name in os.listdir(self._folder) if (m := own.fullmatch(name)))
    needed = self._run.checkpoint_steps
    for old in (old for old in steps[: steps.index(step)][:-1] if old not in needed):
      with contextlib.suppress(FileNotFoundError):
        os.remove(self._path(old))

  def read(self, step: int) -> dict[str, dict[str, np.ndarray]]:
    """Those of this step. UserError if they are not there, or damaged."""
    path, sets = self._path(step), {}
    try:
      with np.load(path, allow_pickle=False) as file:
        for name in file.files:
          of, _, key = name.partition("/")
          sets.setdefault(of, {})[key] = file[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
      raise UserError(
        f"{os.path.relpath(path)}: the responses that wait beside the checkpoint of step {step} "
        f"cannot be read ({type(error).__name__}), and no later policy would write the same. "
        "--overwrite starts the run again"
      ) from error
    return sets

  def _path(self, step: int) -> str:
    return os.path.join(self._folder, f"{step}-{jax.process_index()}.npz")
