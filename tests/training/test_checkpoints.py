"""Checkpoints that a disk, or a hand, has damaged."""

import json
import pathlib
import shutil
import signal

import jax
import numpy as np
import pytest

from experiments import train as train_command
from models.partitioning import make_mesh
from tests.experiments import commands
from tests.models.tiny import tiny_params
from tests.training.stopped_runs import rows_of, train_until
from tests.training.test_staleness import SMALL
from training.checking import config_files
from training.errors import UserError
from training.records.checkpoints import Checkpoints, uninterrupted
from training.records.checksums import CHECKSUMS, SEALED
from training.records.files import read_json, write_json
from training.records.run_folder import RunFolder
from training.run import load_run, train
from training.state import new_state


def fresh():
  return new_state(jax.tree.map(np.array, tiny_params()), make_mesh())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run's folder with the checkpoints of steps 1, the best, and 3 and 4."""
  path = str(tmp_path_factory.mktemp("run"))
  with Checkpoints(RunFolder(path)) as checkpoints:
    for step in range(1, 5):
      checkpoints.save(step, fresh(), best_by=-float(step), totals={"step": step})
  return path


@pytest.fixture
def copy(whole, tmp_path):
  return RunFolder(str(shutil.copytree(whole, tmp_path / "run")))


def largest(folder, name):
  """Of the latest checkpoint's files of this name."""
  found = pathlib.Path(folder.checkpoint(folder.checkpoint_step)).glob(name)
  return max(found, key=lambda file: file.stat().st_size)


def flip(file, at):
  content = bytearray(file.read_bytes())
  content[at] ^= 1
  file.write_bytes(content)


def restored(folder):
  with Checkpoints(folder) as checkpoints:
    return checkpoints.restore(fresh()).params


DAMAGES = {
  "emptied": lambda file: file.write_bytes(b""),
  "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
  "flipped at the start": lambda file: flip(file, 0),
  "flipped in the middle": lambda file: flip(file, file.stat().st_size // 2),
  "flipped at the end": lambda file: flip(file, -1),
  "gone": lambda file: file.unlink(),
  "a folder": lambda file: (file.unlink(), file.mkdir()),
}
OF_ORBAX = [
  "state/manifest.ocdbt",
  "state/ocdbt.process_0/d/*",
  "state/_METADATA",
  "metrics/metrics",
]


@pytest.mark.parametrize("name", [*OF_ORBAX, "_CHECKPOINT_METADATA"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_in_a_line(copy, damage, name):
  hurt = largest(copy, name)
  DAMAGES[damage](hurt)
  with pytest.raises(UserError) as error:
    restored(copy)
  said = str(error.value)
  assert said.partition(" is damaged (")[0].endswith(
    f"checkpoints/4/{hurt.relative_to(copy.checkpoint(4))}"
  )
  assert "\n" not in said and "step 3, train with --from_earlier" in said


def test_the_last_two_and_the_best_are_kept(copy):
  assert copy.checkpoint_steps == [1, 3, 4]
  with Checkpoints(copy) as checkpoints:
    assert checkpoints.totals() == {"step": 4}


@pytest.mark.parametrize("step", [1, 3])  # 3 is the last but one where 5 was never finished
@pytest.mark.parametrize("gone", [CHECKSUMS, "_CHECKPOINT_METADATA", "state/_METADATA"])
def test_one_that_a_kill_left_half_deleted_goes_when_the_run_goes_on(copy, step, gone):
  half = pathlib.Path(copy.checkpoint(step))
  (half / gone).unlink()
  restored(copy)
  assert copy.checkpoint_steps == [other for other in (1, 3, 4) if other != step]
  assert not half.exists()


def checksums(change):
  """A damage: the list of checksums of step 4, changed."""

  def hurt(folder):
    path = pathlib.Path(folder.checkpoint(4)) / CHECKSUMS
    sums = read_json(str(path))
    change(sums)
    write_json(str(path), sums)

  return hurt


def replaced(content):
  return lambda folder: largest(folder, CHECKSUMS).write_bytes(content)


def stranger(folder):
  (pathlib.Path(folder.checkpoint(4)) / "state" / "x").touch()


def emptied(folder):
  shutil.rmtree(folder.checkpoint(4))
  pathlib.Path(folder.checkpoint(4)).mkdir()


@pytest.mark.parametrize(
  "damage, said",
  [
    (
      checksums(lambda sums: sums.pop("state/_METADATA")),
      "state/_METADATA is damaged (no checksum",
    ),
    (checksums(lambda sums: sums.update(x=3)), "checksums.json is damaged"),
    (checksums(lambda sums: sums.update(x=[10**400, "0"])), "checksums.json is damaged"),
    (replaced(b"\0" * 99), "checksums.json is damaged"),
    (replaced(b"\xff{"), "checksums.json is damaged"),
    (replaced(b""), "checksums.json is damaged"),
    (
      lambda run: DAMAGES["a folder"](largest(run, CHECKSUMS)),
      "checksums.json is damaged",
    ),
    (stranger, "state/x is damaged (no checksum"),
    (emptied, "4/_CHECKPOINT_METADATA is damaged"),
  ],
)
def test_damaged_checksums_strangers_and_empty_folders_are_said(copy, damage, said):
  damage(copy)
  with pytest.raises(UserError) as error:
    restored(copy)
  assert said in str(error.value) and "--from_earlier" in str(error.value)


def test_without_its_checksums_it_was_never_finished_and_the_one_before_is_used(copy):
  largest(copy, CHECKSUMS).unlink()
  with Checkpoints(copy) as checkpoints:
    with pytest.raises(UserError, match="no checkpoint 4 .*; there: 1, 3"):
      checkpoints.load(4, fresh())
    checkpoints.load(None, fresh())  # of a run that still trains: nothing is deleted
  assert pathlib.Path(copy.checkpoint(4)).is_dir()
  with Checkpoints(copy) as checkpoints:
    checkpoints.restore(fresh())
    assert checkpoints.totals() == {"step": 3}
    (warning,) = checkpoints.warnings
    assert warning.endswith("checkpoints/4 was never finished: deleted")
    checkpoints.save(4, fresh(), best_by=-9.0)
  assert copy.checkpoint_steps == [1, 3, 4]


def test_a_checkpoint_from_before_there_were_checksums_is_loaded_as_ever(copy):
  for step in copy.checkpoint_steps:
    path = pathlib.Path(copy.checkpoint(step))
    (path / CHECKSUMS).unlink()
    about = json.loads((path / "_CHECKPOINT_METADATA").read_text())
    del about["custom_metadata"][SEALED]
    (path / "_CHECKPOINT_METADATA").write_text(json.dumps(about))
  jax.tree.map(np.testing.assert_array_equal, restored(copy), tiny_params())
  largest(copy, "state/manifest.ocdbt").write_bytes(b"")
  with pytest.raises(UserError, match="manifest.ocdbt is damaged .* rm -r .*checkpoints/4"):
    restored(copy)


# --- whole runs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
  """The root, with a run that was stopped with checkpoints, and one that was not."""
  root = tmp_path_factory.mktemp("root")
  config = config_files.load("configs/grpo.py", SMALL | {"checkpoint.every": 1})
  train_until(4, config, root / "run", root)
  train(config, str(root / "whole"), root=str(root))
  return root, config


def content(folder):
  """All rows without times, and the bits of the last checkpoint's parameters."""
  leaves = jax.tree.leaves(load_run(folder).policy.params)
  return rows_of(folder), [np.asarray(leaf).tobytes() for leaf in leaves]


@pytest.mark.parametrize("damaged", [1, 2])
def test_from_earlier_ends_with_the_bits_of_a_run_that_was_never_stopped(
  stopped, tmp_path, damaged
):
  root, config = stopped
  path, said = str(shutil.copytree(root / "run", tmp_path / "run")), []
  folder = RunFolder(path)
  latest = folder.checkpoint_steps
  for step in latest[-damaged:]:
    file = next(pathlib.Path(folder.checkpoint(step)).glob("state/ocdbt.process_0/d/*"))
    flip(file, file.stat().st_size // 2)
  with pytest.raises(UserError, match=f"checkpoints/{latest[-1]}/state/ocdbt.* is damaged"):
    train(config, path, root=str(root))
  train(config, path, root=str(root), from_earlier=True, report=said.append)
  warnings = [row["warning"] for row in said if "set aside" in row.get("warning", "")]
  assert len(warnings) == damaged and len(set(warnings)) == damaged
  assert content(path) == content(str(root / "whole"))
  assert len(list((tmp_path / "run" / "damaged_checkpoints").iterdir())) == damaged


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(stopped, tmp_path):
  root, _ = stopped
  path = shutil.copytree(root / "whole", tmp_path / "runs" / "whole")
  words = [f"--config.{name}={value}" for name, value in (SMALL | {"checkpoint.every": 1}).items()]
  words = ["--config=configs/grpo.py", *words, "--out=runs/whole"]
  largest(RunFolder(str(path)), "state/_METADATA").unlink()
  with pytest.raises(UserError, match="_METADATA is damaged .missing.*--step=5"):
    load_run(str(path)).policy_at(None)
  done = commands.run(train_command.main, *words, "--from_earlier", place=tmp_path)
  assert done.returncode == 0, done.stderr
  assert (
    " ".join(done.stdout.split()).count("_METADATA is damaged (missing): the checkpoint is") == 1
  )
  assert content(str(path)) == content(str(root / "whole"))
  done = commands.run(train_command.main, *words, "--from_earlier", place=tmp_path)
  assert "finished already" in done.stdout


def test_an_interrupt_while_orbax_works_comes_when_it_has_ended():
  done = []
  with pytest.raises(KeyboardInterrupt), uninterrupted():
    signal.raise_signal(signal.SIGINT)
    done.append("the block")
  assert done == ["the block"]
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(signal.SIGINT)  # the handler is the one before


def test_an_error_that_is_not_of_the_files_is_not_called_damage(copy, monkeypatch):
  with Checkpoints(copy) as checkpoints:
    monkeypatch.setattr(checkpoints._checkpointer, "load", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      checkpoints.load(4, fresh())
