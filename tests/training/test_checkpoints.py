"""Checkpoints that a disk, or a hand, has damaged."""

import shutil

import jax
import numpy as np
import pytest

from models.partitioning import make_mesh
from tests.models.tiny import tiny_params
from training.errors import UserError
from training.records.checkpoints import Checkpoints
from training.records.run_folder import RunFolder
from training.state import new_state


def fresh():
  return new_state(jax.tree.map(np.array, tiny_params()), make_mesh())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run's folder with the checkpoints of steps 1, the best, and 2."""
  path = str(tmp_path_factory.mktemp("run"))
  with Checkpoints(RunFolder(path)) as checkpoints:
    checkpoints.save(1, fresh(), best_by=1.0)
    checkpoints.save(2, fresh(), best_by=0.0)
  return path


DAMAGES = {
  "emptied": lambda file: file.write_bytes(b""),
  "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
  "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize(
  "damage, name",
  [
    ("emptied", "state/manifest.ocdbt"),
    ("cut", "state/manifest.ocdbt"),
    ("gone", "state/manifest.ocdbt"),
    ("cut", "state/d/*"),
    ("gone", "state/_METADATA"),
  ],
)
def test_a_damaged_checkpoint_is_named_and_can_be_left_out(whole, tmp_path, damage, name):
  path = shutil.copytree(whole, tmp_path / "run")
  files = sorted((path / "checkpoints" / "2").glob(name), key=lambda file: file.stat().st_size)
  DAMAGES[damage](files[-1])
  with Checkpoints(RunFolder(str(path))) as checkpoints, pytest.raises(UserError) as error:
    checkpoints.restore(fresh())
  said = str(error.value)
  assert "checkpoints/2" in said.partition(" is damaged (")[0] and "\n" not in said
  assert "To go on from step 1 (" in said
  shutil.rmtree(path / "checkpoints" / "2")
  with Checkpoints(RunFolder(str(path))) as checkpoints:
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(fresh()).params, tiny_params())
