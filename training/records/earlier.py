"""Going on from the checkpoint before a damaged one: `--from_earlier`. No jax here."""

import os

from training.records.checksums import damaged_file
from training.records.run_folder import RunFolder


def set_damaged_aside(folder: RunFolder) -> list[str]:
  """Moves the latest checkpoint away while it is damaged; says so, a line each.

  The run then goes on from the one before, or from the start. Only for who holds the run.
  """
  said = []
  while steps := folder.checkpoint_steps:
    *before, step = steps
    path = folder.checkpoint(step)
    damage = damaged_file(path)
    if damage is None:
      break
    aside = _free(os.path.join(folder.path, "damaged_checkpoints", str(step)))
    os.makedirs(os.path.dirname(aside), exist_ok=True)
    os.rename(path, aside)
    goes_on = f"step {before[-1]}" if before else "the start"
    said.append(
      f"{os.path.relpath(path)}/{damage[0]} is damaged ({damage[1]}): the checkpoint is set aside "
      f"in {aside}, and training goes on from {goes_on}"
    )
  if said:
    folder.mark("stopped", "a checkpoint was damaged")  # also where it had finished
  return said


def _free(path: str) -> str:
  names = (path, *(f"{path}-{number}" for number in range(2, 1000)))
  return next(name for name in names if not os.path.exists(name))
