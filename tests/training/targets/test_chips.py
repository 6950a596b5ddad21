"""The table of targets, and what is refused before jax is imported."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

from tests.docs import pages
from training.errors import UserError
from training.targets import chips, compilers

ONE = {"data": 1, "fsdp": 1, "tensor": 1}


def refused(call, *arguments):
  with pytest.raises(UserError) as error:
    call(*arguments)
  return str(error.value)


def test_slices_are_named_as_their_vendors_count_them():
  assert chips.find("v5e-16").shape == (4, 4, 1)
  assert chips.find("V5P-32").devices == 16  # cores, two a chip
  assert chips.find("v6e-8").devices == chips.find("h100-8").devices == 8
  assert chips.find("h200").devices == 1  # a chip alone is one of it
  assert str(chips.find("v5p-32")) == "16 x TPU v5p (2 x 2 x 4)"
  assert len(chips.TARGETS) == sum(map(len, chips.SLICES.values()))  # no name twice


def test_rates_are_in_units_that_make_sense():
  for chip in chips.CHIPS.values():
    assert 1e9 < chip.hbm_bytes < 1e12 and 1e14 < chip.flops < 1e16
    assert chip.link_rate < chip.hbm_rate < 1e13 and chip.float32_flops < chip.flops / 5


def test_an_unknown_target_is_answered_with_the_nearest_and_the_list():
  message = refused(chips.find, "v5e-6")
  assert "Did you mean v5e-" in message and "h100-8" in message and "\n" not in message


def test_a_mesh_of_another_size_is_answered_with_the_fields_to_set():
  target = chips.find("v5e-16")
  chips.check_mesh(target, ONE | {"fsdp": 16})
  message = refused(chips.check_mesh, target, ONE)
  assert message.endswith("--config.mesh.fsdp=16") and "16 devices" in message
  message = refused(chips.check_mesh, target, {"data": 1, "fsdp": 2, "tensor": 4})
  assert message.endswith("--config.mesh.fsdp=4 --config.mesh.tensor=4")
  assert refused(chips.check_mesh, chips.find("v5e-1"), ONE | {"fsdp": 2}).endswith("fsdp=1")


def test_a_missing_compiler_is_answered_with_the_command_that_installs_it(monkeypatch):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, "version", missing)
  for name in ("v5e-4", "h200"):
    message = refused(compilers.target_of, name, ONE | {"fsdp": chips.find(name).devices})
    assert message.endswith('pip install -e ".[targets]"') and "\n" not in message


def test_a_compiler_of_another_version_is_refused(monkeypatch):
  monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.52")
  assert "0.0.52" in refused(compilers.check_installed, chips.find("v5e-4"))
  monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.42.1")
  compilers.check_installed(chips.find("v5e-4"))


def test_the_extra_has_every_compiler_and_the_lock_none():
  setup, lock = pages.text("setup.py"), pages.text("requirements.lock")
  extra = setup.partition("TARGETS = [")[2].partition("]")[0]
  assert f'"libtpu=={compilers.LIBTPU}.*"' in extra
  for package in (*compilers.NEEDED["tpu"], *compilers.NEEDED["cuda"]):
    assert package in extra and not re.search(rf"^{package}==", lock, re.M)


def test_none_of_it_imports_jax():
  code = (
    "import sys, training.targets.compilers, training.targets.counts, training.targets.roofline; "
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code], cwd=pages.PROJECT).returncode == 0
