"""Members of a population against the same runs by themselves."""

import _thread
import os
import shutil
import threading
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.training.small_configs import SMALL_MODEL
from tests.training.stopped_runs import TIMED
from training import assembly
from training.checking import config_files, digests
from training.errors import Diverged
from training.population import membership
from training.population.lockstep import Population
from training.population.shared import shared
from training.records.run_folder import RunFolder

SMALL = {
  "steps": 2,
  "batch_prompts": 4,
  "group_size": 4,
  "task.reward": "length(max=5)",  # never the same for all: the noise of a gradient of 0 grows
  "task.train_prompts": 32,
  "task.eval_prompts": 8,
  **SMALL_MODEL,
  "optimizer.learning_rate": 5e-5,  # Adam makes whole steps of the rounding of small gradients
  "base.steps": 4,
  "base.batch_prompts": 16,
  "eval.every": 1,
  "eval.samples": 2,
  "checkpoint.every": 2,
  "wandb.mode": "disabled",
}


def configs_of(config, members, **overrides):
  return [config_files.load(config, SMALL | overrides | member) for member in members]


def train(config, folder, root, outcomes=None):
  folder.create(config.to_dict(), config_file="x", **digests.of_run(config))
  with folder.recording_outcome():
    assembly.train(config, folder, str(root), lambda row: None)


def folders(place, n):
  return [RunFolder(str(place / f"run-s{i}")) for i in range(n)]


def together(place, configs):
  """Their folders, when they were trained as members."""
  places = folders(place / "together", len(configs))

  def member(config, folder):
    def work():
      try:
        if folder.read_status().get("state") != "finished":
          train(config, folder, place)
      except Diverged:
        pass  # its folder says so

    return work

  Population([member(*each) for each in zip(configs, places, strict=True)]).train()
  return places


def one_by_one(place, configs):
  places = folders(place / "alone", len(configs))
  for config, folder in zip(configs, places, strict=True):
    train(config, folder, place)
  return places


def params_of(folder):
  with ocp.training.Checkpointer(os.path.abspath(folder.checkpoints)) as checkpoints:
    return jax.tree.leaves(checkpoints.load(checkpoints.latest.step))


def weights_of(folder):
  """The numbers of each response in groups.jsonl."""
  responses = [one for group in folder.read_groups() for one in group["responses"]]
  assert responses
  return [[one["reward"], one["tokens"], one["weight"], one["push"]] for one in responses]


def assert_same(member, single):
  rows, expected = member.read_metrics(), single.read_metrics()
  assert [row.keys() for row in rows] == [row.keys() for row in expected]
  for row, other in zip(rows, expected, strict=True):
    for name in row.keys() - set(TIMED):
      assert row[name] == pytest.approx(other[name], abs=1e-5, rel=1e-5), name
  assert member.read_completions() == single.read_completions()
  assert member.read_prompts() == single.read_prompts()
  for row, other in zip(weights_of(member), weights_of(single), strict=True):
    assert row == pytest.approx(other, abs=1e-4, rel=1e-4)
  for leaf, other in zip(params_of(member), params_of(single), strict=True):
    np.testing.assert_allclose(leaf, other, atol=1e-5)
  assert member.read_status()["state"] == single.read_status()["state"] == "finished"


EVERYTHING = {  # a critic, a reference that moves, several updates a step, groups drawn again
  "inner_epochs": 2,
  "minibatches": 2,
  "sampling.refills": 2,
  "reference.every": 2,
  "reference.mix": 0.5,
}


@pytest.mark.slow
@pytest.mark.parametrize(
  ("config", "overrides", "members"),
  [
    (
      "configs/grpo.py",
      {},
      [
        {"seed": 0, "algorithm.beta": 0.0},
        {"seed": 1, "algorithm.beta": 0.1, "optimizer.learning_rate": 1e-4},
        {"seed": 2, "algorithm.beta": 0.1, "sampling.temperature": 0.9},
      ],
    ),
    ("configs/ppo.py", EVERYTHING, [{"seed": 0}, {"seed": 1}]),
    ("configs/dpo.py", {"model.lora_rank": 2}, [{"seed": 0}, {"algorithm.beta": 0.5}]),
    ("configs/grpo.py", {"optimizer.name": "muon"}, [{"seed": 0}, {"optimizer.momentum": 0.9}]),
    ("configs/remax.py", {}, [{"seed": 0}, {"seed": 1, "algorithm.beta": 0.1}]),
    (
      "configs/a_star_po.py",
      {"reference.samples": 3, "task.train_prompts": 6},  # step 1 has prompts that came before
      [{"seed": 0}, {"seed": 1, "algorithm.beta1": 0.2}],
    ),
    ("configs/xpo.py", {}, [{"seed": 0}, {"seed": 1, "algorithm.alpha": 0.1}]),
  ],
  ids=["grpo", "ppo", "dpo", "muon", "remax", "a_star_po", "xpo"],
)
def test_members_write_what_single_runs_write(tmp_path, config, overrides, members):
  configs = configs_of(config, members, **overrides)
  for member, single in zip(
    together(tmp_path, configs), one_by_one(tmp_path, configs), strict=True
  ):
    assert_same(member, single)


def test_a_member_that_diverges_is_frozen_and_the_others_go_on(tmp_path):
  members = [{"seed": 0}, {"seed": 1, "optimizer.learning_rate": 1e30}, {"seed": 2}]
  configs = configs_of("configs/grpo.py", members)
  places = together(tmp_path, configs)
  assert [folder.read_status()["state"] for folder in places] == [
    "finished",
    "diverged",
    "finished",
  ]
  assert "Lower optimizer.learning_rate" in places[1].read_status()["reason"]
  assert_same(places[2], one_by_one(tmp_path, configs[2:])[0])


@shared
def doubled(x):
  return 2 * x


def test_calls_that_not_all_make_wait_for_no_one_and_what_was_built_once_stays_one_array():
  results, sizes = {}, []

  def times(w, x):
    sizes.append(jax.typeof(w).ndim)  # as traced: a vmapped axis does not show, a stacked one would
    return w * x

  product = shared(times)

  def member(i):
    def work():
      weights = membership.once("weights", lambda: jax.numpy.arange(3.0))
      x = np.float32(i)
      for _ in range(i):  # a different number for each
        x = doubled(x)
      results[i] = np.asarray(product(weights, x))

    return work

  Population([member(i) for i in range(3)]).train()
  for i in range(3):
    np.testing.assert_array_equal(results[i], np.arange(3.0) * i * 2**i)
  assert set(sizes) == {1}


def test_an_interrupt_reaches_every_member_where_it_waits():
  ended = []

  def member(i):
    def work():
      try:
        if i == 2:
          return
        doubled(np.float32(i))
        doubled(np.float32(i))
      except KeyboardInterrupt:
        pass
      finally:
        ended.append(i)

    return work

  def turn(index):
    if len(ended) == 1 and index == 1:
      raise KeyboardInterrupt  # what ^C does to the thread that all wait for

  with pytest.raises(KeyboardInterrupt):
    Population([member(i) for i in range(3)], turn).train()
  assert sorted(ended) == [0, 1, 2]


def test_times_add_up_to_the_population_s():
  spent = []

  def work():
    started = membership.clock()
    for _ in range(50):
      doubled(np.ones(10**6, np.float32))
    spent.append(membership.clock() - started)

  began = time.perf_counter()
  Population([work] * 4).train()
  assert 0 < sum(spent) <= time.perf_counter() - began


def test_an_interrupt_while_a_member_works_ends_all_of_them():
  """`interrupt_main` is how a worker learns that its sweep is gone."""
  ended = []

  def work():
    try:
      doubled(np.float32(1))
      if timer.ident is None:  # the first to come here
        timer.start()
      time.sleep(0.5)
      doubled(np.float32(1))
    except KeyboardInterrupt:
      ended.append("interrupted")

  timer = threading.Timer(0.1, _thread.interrupt_main)
  with pytest.raises(KeyboardInterrupt):
    Population([work] * 3).train()
  assert ended == ["interrupted"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
  ("config", "kept", "more"),
  [  # the last step that each member still has a checkpoint of; 4: it is finished
    ("configs/grpo.py", [3], {}),
    ("configs/grpo.py", [3, 3], {}),
    ("configs/grpo.py", [3, 0], {}),
    ("configs/grpo.py", [4, 3], {}),
    ("configs/grpo.py", [0, 4, 3], {"model.lora_rank": 2, "algorithm.beta": 0.1}),
    ("configs/ppo.py", [3, 4], {"reference.every": 2}),
    ("configs/dpo.py", [3, 0, 4], {"group_size": 2, "model.dtype": "bfloat16"}),
  ],
)
def test_members_stopped_at_any_steps_end_with_the_same_bits(tmp_path, config, kept, more):
  # Those whose numbers are all alike must compute what they do beside others.
  members = [{"seed": i, "algorithm.beta": 0.1} for i in range(len(kept))]
  configs = configs_of(config, members, steps=4, **more | {"checkpoint.every": 1})
  whole = together(tmp_path, configs)
  stopped = tmp_path / "stopped"
  shutil.copytree(tmp_path / "together", stopped / "together")
  for of_all in ("base", "reward_models", "data"):
    if (tmp_path / of_all).exists():
      shutil.copytree(tmp_path / of_all, stopped / of_all)
  for folder, last in zip(folders(stopped / "together", len(kept)), kept, strict=True):
    for step in folder.checkpoint_steps:
      if step > last:
        shutil.rmtree(folder.checkpoint(step))
    if last < 4:
      folder.mark("stopped")
  for a, b in zip(whole, together(stopped, configs), strict=True):
    for expected, found in zip(params_of(a), params_of(b), strict=True):
      assert (expected == found).all()
