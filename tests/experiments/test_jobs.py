"""The jobs of a sweep, done by a worker."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from experiments.sweeping import jobs, worker
from tests.training.stopped_runs import TIMED
from tests.training.test_population import SMALL, params_of
from training import memory
from training.build import parts_of
from training.checking import config_files, digests
from training.population import membership
from training.population.shared import Shared
from training.records.files import read_text
from training.records.run_folder import RunFolder


def test_a_program_queued_again_leaves_the_members_alone_that_ended(tmp_path, monkeypatch):
  monkeypatch.setattr(worker, "print_to", lambda path: None)  # the output is pytest's

  def member(name, state):
    folder = RunFolder(str(tmp_path / name))
    about = {"digest": "d", "config_file": "x"}
    folder.create({"seed": 0}, **about)
    folder.write_status(state, step=4, steps=9, reason="train/loss is nan")
    arguments = {"folder": folder.path, "config": {}} | about
    return {"name": name, "log": folder.log, "arguments": arguments}

  members = [
    member("finished", "finished"),
    member("diverged", "diverged"),
    member("stopped", "stopped"),
  ]
  before = [read_text(str(tmp_path / run["name"] / "status.json")) for run in members]
  told = []
  jobs.train_together(lambda news: told.append(dict(news["runs"])), runs=members)
  after = [read_text(str(tmp_path / run["name"] / "status.json")) for run in members]
  assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False]
  states = {name: row["state"] for name, row in told[-1].items()}
  assert states["finished"] == "finished" and states["diverged"] == "diverged"
  assert states["stopped"] == "failed"  # it was trained: its config is empty


# --- too little memory ----------------------------------------------------------------------------


def exhausted(monkeypatch):
  """Calls for more than two members fail where jax says that there is no memory."""
  for_members = Shared.for_members

  def two_at_most(self, treedef, axes, mesh, n, donate):
    def fails(*leaves):
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    return fails if n > 2 else for_members(self, treedef, axes, mesh, n, donate)

  monkeypatch.setattr(Shared, "for_members", two_at_most)


def small_device(monkeypatch):
  """A device, of which all members have a part, and for which three are too many."""
  found = memory.estimate(parts_of(config_files.load("configs/grpo.py", SMALL)))
  limit = int(memory.SURE * 2.5 * memory.total(found))
  monkeypatch.setattr(memory, "device_memory", lambda: limit)

  def all_members():
    return len(membership.member_here().population._members)

  monkeypatch.setattr(membership, "members_a_device", all_members)


@pytest.fixture
def at_home(tmp_path, monkeypatch):
  monkeypatch.setattr(worker, "print_to", lambda path: None)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def members_in(place, seeds, **fields) -> list[dict[str, Any]]:
  found = []
  for seed in seeds:
    config = config_files.load("configs/grpo.py", SMALL | {"seed": seed} | fields)
    folder = RunFolder(str(place / f"s{seed}"))
    about = {"folder": folder.path, "config": config.to_dict(), "config_file": "x"}
    arguments = about | digests.of_run(config)
    found.append({"name": folder.name, "log": folder.log, "arguments": arguments})
  return found


def content(folder):
  rows = [{k: v for k, v in row.items() if k not in TIMED} for row in folder.read_metrics()]
  return rows, [np.asarray(leaf).tobytes() for leaf in params_of(folder)]


@pytest.mark.parametrize("too_little", [exhausted, small_device])
def test_a_program_too_large_for_the_memory_is_cut_in_half_and_goes_on(
  at_home, monkeypatch, too_little
):
  for seeds in ((0, 1), (2, 3)):
    jobs.train_together(lambda news: None, runs=members_in(at_home / "two", seeds))
  too_little(monkeypatch)
  told = []
  runs = members_in(at_home / "four", range(4))
  jobs.train_together(lambda news: told.append({**news["runs"]}), runs=runs)
  assert {name: row["state"] for name, row in told[-1].items()} == dict.fromkeys(
    ("s0", "s1", "s2", "s3"), "finished"
  )
  warnings = {row["warning"] for news in told for row in news.values() if "warning" in row}
  assert warnings == {"too little memory for 4 runs: 2 each"}
  for seed in range(4):
    halved, small = (RunFolder(str(at_home / size / f"s{seed}")) for size in ("four", "two"))
    assert content(halved) == content(small)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(at_home):
  for place in ("whole", "hurt"):
    (run,) = members_in(at_home / place, (0,), **{"checkpoint.every": 1})
    jobs.train(lambda row: None, **run["arguments"])
  whole, hurt = (RunFolder(str(at_home / place / "s0")) for place in ("whole", "hurt"))
  path = pathlib.Path(hurt.checkpoint(hurt.checkpoint_step))
  next(path.glob("state/ocdbt.process_0/d/*")).write_bytes(b"")
  hurt.mark("failed", "a checkpoint was damaged")
  told = []
  jobs.train(told.append, **run["arguments"], from_earlier=True)
  assert [row for row in told if "set aside" in row.get("warning", "")] == told[:1]
  assert hurt.checkpoint_steps == whole.checkpoint_steps
  assert content(hurt) == content(whole)


def test_a_member_whose_files_are_damaged_fails_alone(at_home):
  runs = members_in(at_home / "runs", range(2))
  (at_home / "runs" / "s0").mkdir(parents=True)
  (at_home / "runs" / "s0" / "status.json").write_text("[1]")
  told = []
  jobs.train_together(lambda news: told.append({**news["runs"]}), runs=runs)
  assert {name: row["state"] for name, row in told[-1].items()} == {
    "s0": "failed",
    "s1": "finished",
  }
  assert "status.json is damaged" in told[-1]["s0"]["reason"]


def test_a_single_run_without_memory_fails(at_home, monkeypatch):
  monkeypatch.setattr(memory, "device_memory", lambda: 1000)
  told = []
  runs = members_in(at_home / "runs", range(3))
  jobs.train_together(lambda news: told.append({**news["runs"]}), runs=runs)
  assert [row["state"] for row in told[-1].values()] == ["failed"] * 3
  assert all("not enough memory" in row["reason"] for row in told[-1].values())
