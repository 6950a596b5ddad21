"""reference.memory="host": the frozen reference rests in the host's memory, and nothing changes."""

import jax
import numpy as np
import pytest

from models.partitioning import HOST, on_devices, on_host
from tests.training.small_configs import SMALL_MODEL
from training import build, load_config, loop, memory, train
from training.checking import validate
from training.devices import mesh_of
from training.errors import UserError
from training.population.programs import program_of
from training.state import random_params

SMALL = {
  "steps": 3,
  "eval.every": 3,
  "base.steps": 4,
  "base.batch_prompts": 16,
  "batch_prompts": 8,
  "task.train_prompts": 64,
  "task.eval_prompts": 16,
  "wandb.mode": "disabled",
  **SMALL_MODEL,
}


def config_of(where, file="configs/dpo.py", **overrides):
  return load_config(file, SMALL | {"reference.memory": where} | overrides)


def kinds(params):
  return {leaf.sharding.memory_kind for leaf in jax.tree.leaves(params)}


def test_a_run_has_the_numbers_of_one_with_its_reference_on_the_device(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  references, trained = [], loop.train

  def spied(*args, **named):
    references.append(named["reference"])
    return trained(*args, **named)

  monkeypatch.setattr(loop, "train", spied)
  rows = {}
  for where in ("device", "host"):
    run = train(config_of(where, source="online"))
    rows[where] = {name: np.asarray(run.metrics[name]) for name in dict(run.metrics)}
  assert [kinds(reference) for reference in references[-2:]] == [{"device"}, {HOST}]
  equal = [name for name in rows["host"] if not name.endswith(("seconds", "_time", "per_second"))]
  assert {"train/loss", "train/grad_norm", "eval/kl"} <= {*equal}
  assert np.any(rows["host"]["eval/kl"] != 0)
  for name in equal:
    np.testing.assert_array_equal(rows["device"][name], rows["host"][name], err_msg=name)


def test_parameters_go_to_the_host_and_back_bit_by_bit():
  parts = build.parts_of(config_of("host"))
  params = random_params(parts.model, parts.mesh, seed=0)
  resting = on_host(params)
  assert kinds(resting) == {HOST} and kinds(on_devices(resting)) == {"device"}
  jax.tree.map(np.testing.assert_array_equal, params, on_devices(resting))
  assert on_devices(params) is params


def test_the_estimate_leaves_out_what_rests_on_the_host():
  at = {where: memory.estimate(build.parts_of(config_of(where))) for where in ("device", "host")}
  assert at["device"]["reference"] == at["device"]["parameters"] and at["host"]["reference"] == 0
  assert memory.total(at["device"]) - memory.total(at["host"]) == at["device"]["reference"]
  moving = memory.estimate(build.parts_of(config_of("host", **{"reference.every": 2})))
  assert moving["reference"] == moving["parameters"]  # the one that moves stays


def test_it_is_refused_where_it_means_nothing(monkeypatch):
  with pytest.raises(UserError, match="leave this out"):
    validate.check(config_of("host", **{"model.lora_rank": 2}))
  with pytest.raises(UserError, match="choose one of"):
    validate.check(config_of("cpu"))
  monkeypatch.setattr("training.devices.has_host_memory", lambda mesh: False)
  with pytest.raises(UserError, match="cpu devices cannot read the host's memory"):
    mesh_of(config_of("host"))


def test_such_runs_are_no_population():
  programs = {
    program_of(config_of(where, seed=seed).to_dict())
    for where in ("device", "host")
    for seed in (0, 1)
  }
  assert len(programs) == 3  # those with the reference on the device share one
