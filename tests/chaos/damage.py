"""Files that are damaged while nobody looks: torn, flipped, emptied, gone; folders that go."""

import pathlib
import random
import shutil
import signal
import threading

from tests.chaos.stops import wait_for_a_moment
from tests.chaos.trials import Trial, Whole

SPARED = (".jax_cache",)
_lock = threading.Lock()
_half_way: dict[str, list[pathlib.Path]] = {}  # by work: trees of runs that were killed


def damage_files(trial: Trial, whole: Whole) -> None:
  """A run that was killed, with one to three damaged files, typed again.

  Where damage is said and the error tells what to do, that is done, and it must end as if nothing
  had happened, but for rows of the file that was named. A file that stays as it was damaged, while
  all else is as ever, was read by nobody.
  """
  _be_half_way(trial, whole)
  files = [path for path in trial.runs.rglob("*") if _counts(path) and path.stat().st_size]
  for path in trial.random.sample(files, min(len(files), trial.random.randint(1, 3))):
    hurt = _hurt(path, trial.random)
    trial.hurt[path] = path.read_bytes() if path.exists() else None
    trial.injected += 1
    trial.notes.append(f"{hurt} {path.relative_to(trial.folder)}")
  # To repeat exactly this: the moment of the kill does not follow from the seed.
  shutil.copytree(trial.runs, trial.folder / "hurt")
  trial.finish()


def _be_half_way(trial: Trial, whole: Whole) -> None:
  """Starts the work and kills it; or, mostly, copies what such a kill left before."""
  with _lock:
    known = list(_half_way.setdefault(trial.work.name, []))
  if trial.work.moves and len(known) >= 3 and trial.random.random() < 0.8:
    shutil.copytree(trial.random.choice(known), trial.runs)
    return
  for _ in range(20):
    processes = trial.start()
    wait_for_a_moment(trial, whole, processes)
    trial.end(processes)
    has_rows = any(path.stat().st_size for path in trial.runs.rglob("metrics.jsonl"))
    if has_rows and not _is_finished(trial):
      break
    shutil.rmtree(trial.runs, ignore_errors=True)
  else:
    raise RuntimeError(f"{trial.work.name}: no kill found it half-way")
  kept = trial.folder.parent / f"half-way-{trial.work.name}-{len(known)}"
  with _lock:
    if not kept.exists():
      shutil.copytree(trial.runs, kept)
      _half_way[trial.work.name].append(kept)


def _is_finished(trial: Trial) -> bool:
  """Whether all its runs are: then nothing is read again."""
  states = [path.read_text() for path in trial.runs.rglob("status.json")]
  return all('"finished"' in state for state in states)


def _counts(path: pathlib.Path) -> bool:
  is_ours = path.is_file() and not path.name.endswith((".lock", ".tmp"))
  return is_ours and not any(part in path.parts for part in SPARED)


def _hurt(path: pathlib.Path, choose: random.Random) -> str:
  """Damages the file; returns how."""
  content = path.read_bytes()
  how = choose.choice(("flip", "tear", "empty", "remove", "zeros"))
  if how == "remove":
    path.unlink()
  elif how == "flip":
    at = choose.randrange(len(content))
    flipped = content[at] ^ (1 << choose.randrange(8))
    path.write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
  elif how == "tear":
    path.write_bytes(content[: choose.randrange(len(content))])
  elif how == "empty":
    path.write_bytes(b"")
  else:  # a power cut: blocks that were never written
    at = choose.randrange(len(content))
    path.write_bytes(content[:at] + b"\0" * (len(content) - at))
  return how


def remove_folder(trial: Trial, whole: Whole) -> None:
  """A folder of the run goes while it is written in, up to all of them."""
  for _ in range(trial.random.randint(1, 3)):
    processes = trial.start()
    is_running = wait_for_a_moment(trial, whole, processes)
    folders = [path for path in (trial.runs, *trial.runs.glob("*")) if path.is_dir()]
    if not is_running or not folders:
      trial.let_end(processes)
      break
    folder = trial.random.choice(folders)
    trial.hurt |= dict.fromkeys(path for path in folder.rglob("*") if _counts(path))
    shutil.rmtree(folder, ignore_errors=True)
    trial.injected += 1
    trial.let_end(processes)
    if trial.wrong:
      return
    if trial.random.random() < 0.3:
      for process in processes:
        process.send(signal.SIGKILL)
  trial.finish()
