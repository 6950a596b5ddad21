"""Responses of older policies: whose they are, what is kept for a resumed run, what is refused."""

import dataclasses
import os

import jax
import numpy as np
import pytest

from tests.training.small_configs import SMALL_MODEL
from tests.training.stopped_runs import rows_of, whole_and_resumed
from training import build
from training.checking import config_files, longer, validate
from training.errors import UserError
from training.records.run_folder import RunFolder
from training.records.waiting import Waiting
from training.scoring import Scorer
from training.sources.aged import Aged, written_at
from training.sources.batch import Batch
from training.sources.online import Online
from training.sources.replay import Replay, mean_advantage
from training.state import random_params

SMALL = SMALL_MODEL | {
  **{"steps": 6, "batch_prompts": 8, "group_size": 4, "task.train_prompts": 64},
  **{"task.eval_prompts": 8, "base.steps": 0, "checkpoint.every": 3, "eval.every": 6},
  **{"wandb.mode": "disabled", "eval.samples": 1},
}
REGIMES = {
  "lag": {"sampling.lag": 2},
  "semi-online": {"sampling.sync_every": 4},
  "replay": {"replay.share": 0.5, "replay.size": 12},
  "all": {"sampling.lag": 1, "sampling.sync_every": 2, "replay.share": 0.25},
}


def config_of(**fields):
  return config_files.load("configs/grpo.py", SMALL | fields)


def parts_of(**fields):
  return build.parts_of(config_of(**fields))


def assert_same(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
  "lag, sync_every, policies",
  [(0, 1, [0, 1, 2, 3, 4, 5]), (2, 1, [0, 0, 0, 1, 2, 3]), (0, 4, [0, 0, 0, 0, 4, 4])]
  + [(1, 2, [0, 0, 0, 2, 2, 4]), (9, 1, [0] * 6), (0, 99, [0] * 6)],
)
def test_the_groups_of_a_step_are_those_that_its_older_policy_draws(
  tmp_path, lag, sync_every, policies
):
  parts = parts_of(**{"sampling.lag": lag, "sampling.sync_every": sync_every})
  online = Online(parts, Scorer(parts))
  aged = Aged(parts.config, online, Waiting(RunFolder(str(tmp_path)), "waiting"))
  of_step = [random_params(parts.model, parts.mesh, seed) for seed in range(6)]
  assert [written_at(parts.config, step) for step in range(6)] == policies
  for step, policy in enumerate(policies):
    found = aged.collect(step, of_step[step])
    np.testing.assert_array_equal(found.scored.ages, [step - policy] * 8)
    plain = dataclasses.replace(found, scored=dataclasses.replace(found.scored, ages=None))
    assert_same(plain.scored, online.collect(step, of_step[policy]).scored)
    assert found.rollouts == 32
  assert not aged._waiting  # nothing is drawn for steps that never come


def test_a_share_of_the_batch_is_replayed_from_the_latest_groups(tmp_path):
  parts = parts_of(**{"replay.share": 0.5, "replay.size": 12})
  files = Waiting(RunFolder(str(tmp_path)), "replay")
  source = Replay(parts.config, parts.mesh, Online(parts, Scorer(parts)), files)
  params, seen = random_params(parts.model, parts.mesh, 0), []
  for step in range(6):
    batch = source.collect(step, params)
    ages, rows = np.asarray(batch.scored.ages), batch.scored.rows
    assert batch.rollouts == (8 if step == 0 else 4) * 4 and len(rows) == 8
    assert (ages[: 8 if step == 0 else 4] == 0).all() and (ages[8 if step == 0 else 4 :] > 0).all()
    for age, row in zip(ages, rows, strict=True):
      assert age == 0 or row in seen[step - age]
    seen.append(rows[ages == 0].tolist())
    buffer = source._buffer
    assert buffer is not None and len(buffer.rows) == min(8 + 4 * step, 12)
    assert ages.max() <= 3  # 12 groups are those of the three steps before
  assert len(set(map(tuple, seen))) == 6


def test_by_advantage_tied_groups_are_hardly_replayed(tmp_path):
  rewards = np.array([[1, 0, 1, 0], [1, 1, 1, 1], [np.nan] * 4, [2, 0, np.nan, 1]], np.float32)
  np.testing.assert_allclose(mean_advantage(rewards), [0.5, 0, 0, 2 / 3], rtol=1e-6)
  parts = parts_of(**{"replay.share": 0.25, "replay.by": "advantage"})
  files = Waiting(RunFolder(str(tmp_path)), "replay")
  source = Replay(parts.config, parts.mesh, Online(parts, Scorer(parts)), files)
  scored = source.collect(0, random_params(parts.model, parts.mesh, 0)).scored
  rewards = np.zeros((8, 4), np.float32)
  rewards[[2, 5], 0] = 1
  groups = dataclasses.replace(scored.groups, rewards=rewards)
  older = dataclasses.replace(scored, groups=groups)
  chosen = np.concatenate([source._choose(step, older, 2) for step in range(20)])
  assert np.isin(chosen, [2, 5]).all()


@pytest.mark.parametrize("regime", REGIMES)
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, regime):
  config = config_of(**REGIMES[regime])
  whole, resumed = whole_and_resumed(config, tmp_path)
  rows = rows_of(whole.folder)
  assert rows == rows_of(resumed.folder) and len(rows) == 7
  assert rows[-1]["train/staleness"] > 0


def test_what_waits_is_read_as_it_was_written_and_the_last_two_are_kept(tmp_path):
  parts = parts_of()
  batch = Online(parts, Scorer(parts)).collect(0, random_params(parts.model, parts.mesh, 0))
  files = Waiting(RunFolder(str(tmp_path)), "waiting")
  for step in (3, 6, 9):
    files.write(step, {"4": batch.to_arrays(), "5": batch.to_arrays()})
  found = files.read(9)
  assert list(found) == ["4", "5"]
  read = Batch.from_arrays(found["4"])
  assert (read.rollouts, read.tied_left) == (batch.rollouts, batch.tied_left)
  assert_same(read.scored, batch.scored)
  assert sorted(os.listdir(tmp_path / "waiting")) == ["6-0.npz", "9-0.npz"]


@pytest.mark.parametrize("hurt", ["missing", "empty", "cut", "foreign"])
def test_what_cannot_be_read_is_named(tmp_path, hurt):
  files, path = Waiting(RunFolder(str(tmp_path)), "waiting"), tmp_path / "waiting" / "3-0.npz"
  files.write(3, {"4": {"x": np.arange(1000.0)}})
  whole = path.read_bytes()
  path.write_bytes({"empty": b"", "cut": whole[:700], "foreign": b"[1, 2]"}.get(hurt, b""))
  if hurt == "missing":
    path.unlink()
  with pytest.raises(UserError, match=r"3-0\.npz.*step 3 cannot be read.*--overwrite"):
    files.read(3)


@pytest.mark.parametrize(
  "fields, said",
  [
    ({"sampling.lag": -1}, "sampling.lag=-1: must not be negative"),
    ({"sampling.sync_every": 0}, "sampling.sync_every=0: must be at least 1"),
    ({"sampling.lag": 1, "source": "offline"}, "only source='online' samples, not 'offline'"),
    ({"replay.share": 1.0}, "below 1"),
    ({"replay.share": 0.5, "replay.size": 7}, "replay.size=7: smaller than a batch"),
    ({"replay.share": 0.05}, "not one or more groups; such as 0.125"),
    ({"replay.share": 0.375, "mesh.data": 2}, "that divide over 2 devices; such as 0.25"),
    ({"replay.share": 0.5, "replay.by": "age"}, "replay.by"),
    ({"sampling.lag": 10**6, "steps": 10**7, "group_size": 4096}, "would wait, and the machine"),
  ],
)
def test_what_makes_no_sense_is_said_at_once(fields, said):
  with pytest.raises(UserError, match=said.replace(".", r"\.")):
    validate.check(config_of(**fields))


def test_a_run_of_old_responses_takes_no_more_steps():
  fields = {"optimizer.schedule": "constant"}
  assert not longer.why_not(config_of(**fields))
  assert "policies that are gone" in longer.why_not(config_of(**fields, **{"sampling.lag": 1}))
