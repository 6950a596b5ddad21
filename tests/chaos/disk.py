"""Disks that are full: a small tmpfs, which root may mount."""

import contextlib
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Generator

from tests.chaos.trials import Trial, Whole

PAGE = 4096


def can_mount() -> bool:
  """Whether this process may mount a tmpfs, as root may."""
  with tempfile.TemporaryDirectory() as place:
    made = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True)
    if made.returncode == 0:
      subprocess.run(["umount", place], check=True)
    return made.returncode == 0


def unmount_below(folder: pathlib.Path) -> None:
  """Unmounts what trials that were interrupted have left mounted."""
  mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
  for path in mounts:
    if path.startswith(f"{folder}/"):
      subprocess.run(["umount", "-l", path], check=False)


def fill_disk(trial: Trial, whole: Whole) -> None:
  """The work on a disk that is too small by a random amount, then on one that has grown."""
  with _small_disk(trial.folder) as resize:
    for _ in range(trial.random.randint(1, 3)):
      needed = _pages(whole)
      resize(trial.random.randint(needed // 20, needed))
      processes = trial.start()
      trial.let_end(processes)
      trial.injected += any(process.code for process in processes)
      if trial.wrong:
        return
    resize(1_000_000)
    trial.finish()
    kept = trial.folder.with_name(f"{trial.folder.name}-kept")
    shutil.copytree(trial.folder, kept)
  trial.folder.rmdir()
  kept.rename(trial.folder)


def _pages(whole: Whole) -> int:
  """Those that its files take, each its last one and its inode, too."""
  return whole.size // PAGE + 2 * len(whole.left) + 40


@contextlib.contextmanager
def _small_disk(folder: pathlib.Path) -> Generator:
  """A tmpfs in place of the folder, with what is in it; yields what gives it so many pages."""
  kept = folder.with_name(f"{folder.name}-kept")
  folder.rename(kept)
  folder.mkdir()
  subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "none", folder], check=True)

  def resize(pages: int) -> None:
    options = f"remount,size={pages * PAGE}"
    # It refuses to be smaller than what is on it: then it is just full.
    subprocess.run(["mount", "-o", options, folder], capture_output=True)

  try:
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    yield resize
  finally:
    subprocess.run(["umount", "-l", folder], check=False)
