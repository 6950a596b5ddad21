"""All that a work left, less times and names of the moment: what two lives must have alike."""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks import group_dataset
from training.records.checksums import damaged_file

# Of a moment or a machine, not of the run.
TIMED = {
  *("seconds", "train/seconds", "train/step_time", "perf/tokens_per_second", "time", "created"),
  *("started", "pid", "commit", "digest", "digests", "wall", "took", "wandb", "checksum"),
}
_BELOW = re.compile(r'"/[^"]*?/runs/')  # a path of this machine
IGNORED = ("env.json", "command.txt", "report.html", "results.csv", "best.html")
IGNORED += ("log.txt", "base_policy.txt", "programs.txt")  # what workers printed
IGNORED_FOLDERS = (".jax_cache", "wandb", "damaged_checkpoints")
IGNORED_ENDS = (".lock", ".tmp", ".broken")


def read(root: pathlib.Path) -> dict[str, Any]:
  """{path: content} of the files below `root`; a checkpoint is its arrays, as bytes."""
  found: dict[str, Any] = {}
  for at, folders, names in os.walk(root):
    folder = pathlib.Path(at)
    here = folder.relative_to(root)
    folders[:] = [name for name in folders if name not in IGNORED_FOLDERS]
    if folder.name == "checkpoints":
      found |= {f"{here}/{step}": content for step, content in _checkpoints(folder).items()}
      folders.clear()
      continue
    if folder.name in ("waiting", "replay", "reference"):  # those of the last checkpoint
      names = sorted(names, key=lambda name: int(name.partition("-")[0]))[-1:]
    for name in names:
      # A base policy's has all fields of the run that happened to ask for it first.
      is_askers = name == "config.json" and folder.parent.name == "base"
      if name not in IGNORED and not name.endswith(IGNORED_ENDS) and not is_askers:
        found[str(here / name)] = content_of(folder / name)
  return found


def content_of(path: pathlib.Path) -> Any:
  """A .jsonl file's rows, a .json file's value, without what is timed; else the bytes."""
  if path.suffix == ".jsonl":
    return _rows(path.read_bytes())
  if path.suffix == ".json":
    value = _row(path.read_text(errors="replace"))
    if path.name == "recipe.json":
      value.pop("base", None)  # of a round: a digest in which its base policy's run began
    return value
  if ".array_record" in path.name:  # its bytes differ from process to process
    stored = group_dataset.read(str(path.parent))
    return stored.texts, {name: array.tobytes() for name, array in stored.arrays.items()}
  return path.read_bytes()


def _rows(content: bytes) -> list[Any]:
  return [_row(line.decode(errors="replace")) for line in content.split(b"\n") if line]


def _row(text: str) -> Any:
  try:
    return _without_times(json.loads(_BELOW.sub('"runs/', text)))
  except ValueError:
    return f"no JSON: {text}"


def _without_times(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _without_times(x) for key, x in value.items() if key not in TIMED}
  return [_without_times(x) for x in value] if isinstance(value, list) else value


def key_of(path: pathlib.Path, root: pathlib.Path) -> str:
  """Under which name `read` has a file: that of its checkpoint, if it is part of one."""
  relative = str(path.relative_to(root))
  checkpoint = re.match(r".*checkpoints/\d+(?=/)", relative)
  return checkpoint[0] if checkpoint else relative


def _checkpoints(folder: pathlib.Path) -> dict[str, Any]:
  """Of each step its arrays and what is written beside them; or its damage."""
  import jax
  from orbax.checkpoint import v1 as ocp

  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  found: dict[str, Any] = {}
  with ocp.training.Checkpointer(os.path.abspath(folder)) as checkpoints:
    for step in (checkpoint.step for checkpoint in checkpoints.checkpoints):
      if damage := damaged_file(str(folder / str(step))):
        found[str(step)] = f"damaged: {damage}"
        continue
      about = checkpoints.metadata(step)
      place = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), about.metadata
      )
      leaves = jax.tree_util.tree_flatten_with_path(checkpoints.load(step, place))[0]
      arrays = {jax.tree_util.keystr(path): np.asarray(x).tobytes() for path, x in leaves}
      found[str(step)] = {"arrays": arrays, "beside": _without_times(about.custom_metadata or {})}
  return found


def differences(
  whole: dict[str, Any], left: dict[str, Any], said: Mapping[str, bytes] | None = None
) -> list[tuple[str, str]]:
  """What of `left` is not as in `whole`: its path, and a line that begins with it.

  `said` are files of rows, as they were damaged, that were named: they may lack rows, and have
  those that the damage made of them.
  """
  found = [(path, "not there") for path in sorted(whole.keys() - left.keys())]
  found += [(path, "too much") for path in sorted(left.keys() - whole.keys()) if not _later(path)]
  for path in sorted(whole.keys() & left.keys()):
    if whole[path] != left[path]:
      found.append((path, _first_difference(whole[path], left[path])))
  return [
    (path, f"{path}: {what}")
    for path, what in found
    if not _explained(path, whole.get(path), left.get(path), said or {})
  ]


def _explained(path: str, whole: Any, left: Any, said: Mapping[str, bytes]) -> bool:
  if path not in said or not path.endswith(".jsonl"):
    return False
  known = [*whole, *_rows(said[path])]
  return all(row in known for row in left or [])


def _later(path: str) -> bool:
  """Whether it is a checkpoint: one more may be left, which the next save would have deleted."""
  return "/checkpoints/" in f"/{path}"


def _first_difference(whole: Any, hurt: Any) -> str:
  if isinstance(whole, list) and isinstance(hurt, list):
    pairs = enumerate(zip(whole, hurt, strict=False))
    row = next((n for n, (a, b) in pairs if a != b), None)
    if row is None:
      return f"{len(hurt)} rows instead of {len(whole)}"
    return f"row {row}: {_first_difference(whole[row], hurt[row])}"
  if isinstance(whole, dict) and isinstance(hurt, dict):
    keys = [key for key in whole.keys() | hurt.keys() if whole.get(key) != hurt.get(key)]
    key = min(keys)
    return f"{key}: {_first_difference(whole.get(key), hurt.get(key))}"
  return f"{str(hurt)[:60]} instead of {str(whole)[:60]}"
