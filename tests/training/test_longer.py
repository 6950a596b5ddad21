"""More steps for a run that ended, or was stopped: the bits of one that had them from the start."""

import os

import jax
import numpy as np
import pytest

from experiments.sweeping import plan
from tests.training.small_configs import SMALL_MODEL
from tests.training.stopped_runs import TIMED
from training import UserError, load_config, train
from training.checking import digests, longer
from training.records.run_folder import RunFolder

SMALL = SMALL_MODEL | {
  "steps": 20,
  "batch_prompts": 4,
  "group_size": 2,
  "task.train_prompts": 32,  # several epochs
  "task.eval_prompts": 8,
  "base.steps": 0,
  "eval.every": 5,
  "eval.samples": 2,
  "checkpoint.every": 4,
  "wandb.mode": "disabled",
  "optimizer.schedule": "constant",
  "optimizer.warmup_steps": 3,
  "algorithm.beta": 0.1,
  "reference.every": 4,
  "reference.mix": 0.5,
}


def config(**fields):
  fields = {key.replace("__", "."): value for key, value in fields.items()}
  return load_config("configs/grpo.py", SMALL | fields)


def bits(run):
  """The parameters and moments of the last checkpoint, and all metrics but the times."""
  from orbax.checkpoint import v1 as ocp

  with ocp.training.Checkpointer(os.path.abspath(os.path.join(run.folder, "checkpoints"))) as saved:
    tree = saved.load(saved.latest.step)
  files = RunFolder(run.folder)
  rows = [{k: v for k, v in row.items() if k not in TIMED} for row in files.read_metrics()]
  return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)], rows, files.read_completions()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def at_once(root):
  return bits(train(config(), os.path.join(root, "at_once"), root=root))


def test_ten_steps_raised_to_twenty_are_twenty_at_once(root, at_once):
  folder = os.path.join(root, "raised")
  assert train(config(steps=10), folder, root=root).latest_step == 10
  run = train(config(), folder, root=root)
  assert run.state == "finished" and run.latest_step == 20 and run.config.steps == 20
  assert bits(run) == at_once
  again = train(config(), folder, root=root, report=pytest.fail)
  assert again.latest_step == 20


def test_so_are_those_of_a_run_that_was_stopped(root, at_once):
  folder = os.path.join(root, "stopped")

  def stop(row):
    if row["step"] == 7:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    train(config(steps=10), folder, root=root, report=stop)
  assert bits(train(config(), folder, root=root)) == at_once


@pytest.mark.parametrize(
  ("fields", "reason"),
  [
    ({"optimizer__schedule": "cosine"}, "optimizer.schedule='cosine' the learning rate of every"),
    ({"sampling__refills": 1}, "sampling.refills takes the prompts of steps after the last"),
    ({"source": "offline"}, "its data set was collected for that many steps"),
  ],
)
def test_what_would_be_another_run_is_refused_with_the_reason(tmp_path, fields, reason):
  few, many = config(steps=10, **fields), config(**fields)
  files = RunFolder(str(tmp_path / "run"))
  files.create(few.to_dict(), config_file="configs/grpo.py", **digests.of_run(few))
  files.write_status("finished", step=10, steps=10)
  with pytest.raises(UserError) as refused:
    train(many, files.path, root=str(tmp_path))
  first, second = str(refused.value).splitlines()
  assert first == f"{files.path} holds a run of another config (steps 10 -> 20)."
  assert second.startswith("It cannot go on from step 10: ") and reason in second
  assert second.endswith("Give this one --out=FOLDER, or --overwrite to delete that one")
  assert files.read_config()["config"]["steps"] == 10


def test_a_data_set_that_is_named_does_not_depend_on_the_steps():
  assert not longer.why_not(config(source="offline", offline__dataset="runs/datasets/any"))


@pytest.mark.parametrize("status", ["finished", "stopped", "failed", "diverged"])
def test_only_the_steps_may_differ_and_only_upward(tmp_path, status):
  few, files = config(steps=10), RunFolder(str(tmp_path / "run"))
  files.create(few.to_dict(), config_file="x", **digests.of_run(few))
  files.write_status(status, step=10, steps=10)

  def state(**fields):
    wanted = config(**fields)
    return longer.state_of(files, wanted, digests.of_run(wanted)["digest"])

  assert state(steps=20) == {"finished": "resume", "stopped": "resume"}.get(status, status)
  assert state(steps=9) == state(seed=1) == state(steps=20, seed=1) == "changed"


def test_a_sweeps_runs_go_on_too(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(f"def get_sweep():\n  yield {{'config': 'configs/grpo.py', **{SMALL!r}}}\n")

  def planned(**common):
    return plan.make(str(file), common, str(tmp_path / "out")).runs[0]

  run = planned(steps="10")
  run.folder.create(run.config, digest=run.digest, digests=run.digests, config_file="x")
  run.folder.write_status("finished", step=10, steps=10)
  assert planned(steps="10").state == "finished" and planned(steps="20").state == "resume"
  other = planned(steps="5")
  with pytest.raises(UserError, match="another config .steps 10 -> 5"):
    plan.refuse_changed([other])
