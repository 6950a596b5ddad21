"""Two real processes, which meet on loopback, train as one process does."""

import contextlib
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments import train
from models.partitioning import make_mesh
from tests.experiments import commands
from tests.experiments.test_train import environment, results
from tests.models.tiny import TINY
from training import hosts
from training.errors import UserError
from training.records.checkpoints import Checkpoints
from training.records.run_folder import RunFolder
from training.state import new_state, random_params, to_load

# Random weights end some of their responses; those that do not end get another reward. Responses
# may be so long that they are drawn in segments, and are of such lengths that they are packed.
SMALL = """
  steps=3 batch_prompts=8 task.train_prompts=64 task.eval_prompts=16 task.reward=scorer
  model.layers=1 model.d_model=32 model.heads=2 model.kv_heads=2 model.head_dim=16 model.ff_dim=64
  base.steps=0 eval.every=3 eval.samples=2 checkpoint.every=3 sampling.max_tokens=160
  scoring.unfinished=-1
""".split()
SETTINGS = [f"--config.{setting}" for setting in SMALL]

MESH = "--config.mesh.fsdp=2"  # prompts and parameters are split over the two
RUNS = {
  "grpo": ["--config=configs/grpo.py:k=2", MESH, "--config.inner_epochs=2"]
  + ["--config.minibatches=2", "--config.sampling.refills=1", "--config.algorithm.beta=0.1"],
  "dpo": ["--config=configs/dpo.py", MESH],  # offline
  "a_star_po": ["--config=configs/a_star_po.py:k=2,n=2", MESH],
  "xpo": ["--config=configs/xpo.py", MESH],
}
# The command, once for each run: imports and compiled programs serve them all.
TRAIN = f"""
import sys
from experiments import train
for name, words in {RUNS!r}.items():
  train.main([*words, *{SETTINGS!r}, f"--out=runs/{{name}}", *sys.argv[1:]])
"""


def environment_with(devices, place):
  flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
  return environment(place) | {"XLA_FLAGS": flags}


def run_two(words, place, devices=1):
  """Runs the command as two processes; returns what each printed, once both ended well."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  with contextlib.ExitStack() as stack:
    processes = []
    for process in range(2):
      numbered = [f"--coordinator=localhost:{port}", "--processes=2", f"--process={process}"]
      log = stack.enter_context(open(place / f"process-{process}.txt", "w+"))
      processes.append(
        subprocess.Popen(
          [*words, *numbered],
          cwd=place,
          env=environment_with(devices, place),
          stdout=log,
          stderr=log,
        )
      )
      stack.callback(processes[-1].kill)
    codes = [process.wait(timeout=1800) for process in processes]
  printed = [(place / f"process-{process}.txt").read_text() for process in range(2)]
  assert codes == [0, 0], "\n".join(text[-2000:] for text in printed)
  return printed


@pytest.mark.slow
def test_two_processes_end_with_the_parameters_and_metrics_of_one(tmp_path):
  two, one = tmp_path / "two", tmp_path / "one"
  two.mkdir(), one.mkdir()
  words = [sys.executable, "-c", TRAIN]
  shown, other = run_two(words, two)
  assert "cpu x2 in 2 processes" in shown and shown.count("done ") == len(RUNS)
  assert "done " not in other  # the first speaks for both
  for name, flags in RUNS.items():
    done = commands.run(train.main, *flags, *SETTINGS, f"--out=runs/{name}", place=one)
    assert done.returncode == 0, done.stderr
  moved = 0  # responses that some loss moved: where all rewards are equal none does
  for name in RUNS:
    folders = (two / "runs" / name, one / "runs" / name)
    (rows, completions, groups), (one_rows, one_completions, one_groups) = map(results, folders)
    assert completions == one_completions and len(rows) == 4
    assert len(groups) == 4
    moved += sum(one["weight"] != 0 for group in groups for one in group["responses"])
    for group, one_group in zip(groups, one_groups, strict=True):
      responses, one_responses = group.pop("responses"), one_group.pop("responses")
      assert group == one_group
      for response, one_response in zip(responses, one_responses, strict=True):
        texts = {key: x for key, x in response.items() if isinstance(x, str | bool)}
        assert texts.items() <= one_response.items()
        one_numbers = {key: x for key, x in one_response.items() if key not in texts}
        numbers = {key: x for key, x in response.items() if key not in texts}
        assert numbers == pytest.approx(one_numbers, rel=1e-4, abs=1e-5), name
    for row, one_row in zip(rows, one_rows, strict=True):
      assert row == pytest.approx(one_row, rel=1e-5, abs=1e-6), name
    assert rows[-1]["train/grad_norm"] > 0 and rows[-1]["train/loss"] != 0
    for a, b in zip(*map(checkpoint_leaves, folders), strict=True):
      np.testing.assert_allclose(a, b, atol=1e-6, err_msg=name)
  assert moved


def checkpoint_leaves(folder):
  """All arrays of the latest checkpoint, on one device, whatever they were on."""
  from orbax.checkpoint import v1 as ocp

  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  with ocp.training.Checkpointer(os.path.abspath(folder / "checkpoints")) as checkpoints:
    step = checkpoints.latest.step
    saved = checkpoints.metadata(step).metadata
    place = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), saved)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(checkpoints.load(step, place))]


IN_EACH = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
from training.errors import UserError
from training import hosts
from training.records.checkpoints import Checkpoints
from training.shared_runs import folder_at
from training.state import new_state, random_params, to_load
from models.partitioning import make_mesh
from tests.models.tiny import TINY

coordinator, processes, process = (word.partition("=")[2] for word in sys.argv[1:])
hosts.join(coordinator, int(processes), int(process))
me = jax.process_index()
assert me == int(process) and len(jax.devices()) == 4 and hosts.is_first() == (me == 0)

# rows of a batch: whose they are, there and back
everything = {"x": np.arange(16).reshape(8, 2), "y": np.arange(8.0)}
own = {(4, 1, 1): 4, (2, 2, 1): 4, (2, 1, 2): 4, (1, 1, 4): 8}
for shape, count in own.items():
  mesh = make_mesh(*shape)
  mine = hosts.mine(mesh, everything)
  first = 4 * me if count == 4 else 0
  np.testing.assert_array_equal(mine["y"], np.arange(first, first + count))
  whole = hosts.to_global(mesh, mine)
  assert whole["x"].shape == (8, 2) and float(whole["y"].sum()) == 28
  for again in (hosts.to_local(whole), hosts.mine(mesh, hosts.gather(mesh, mine))):
    jax.tree.map(np.testing.assert_array_equal, again, mine)

# decisions are the first process's
assert hosts.first_decides(lambda: True) and not hosts.first_decides(lambda: me == 1)
try:
  hosts.first_decides(lambda: 1 / 0)
except (ZeroDivisionError if me == 0 else UserError):
  pass
else:
  raise AssertionError("went on")
hosts.check_same("words", "alike")
try:
  hosts.check_same("words", f"of {me}")
except UserError as error:
  assert "the 2 processes were given different words" in str(error)
else:
  raise AssertionError("went on")

# checkpoints: of one process into two on another mesh; and one for a process to restore
def state_on(mesh, seed):
  return new_state(random_params(TINY, mesh, seed), mesh)

@jax.jit
def same(a, b):
  return jnp.array(jax.tree.leaves(jax.tree.map(lambda x, y: (x == y).all(), a, b))).all()

mesh = make_mesh(1, 2, 2)
with Checkpoints(folder_at("of_one")) as checkpoints:
  restored = checkpoints.restore(state_on(mesh, seed=1))
assert same(restored.params, state_on(mesh, seed=0).params)
with Checkpoints(folder_at("of_two")) as checkpoints:
  checkpoints.save(7, state_on(make_mesh(2, 2, 1), seed=3), best_by=0.0)
"""


@pytest.mark.slow
def test_rows_decisions_and_checkpoints_of_two_processes(tmp_path):
  mesh = make_mesh()
  with Checkpoints(RunFolder(str(tmp_path / "of_one"))) as checkpoints:
    checkpoints.save(5, new_state(random_params(TINY, mesh, 0), mesh), best_by=0.0)
  run_two([sys.executable, "-c", IN_EACH], tmp_path, devices=2)
  with Checkpoints(RunFolder(str(tmp_path / "of_two"))) as checkpoints:
    assert checkpoints.latest_step == 7
    blank = new_state(random_params(TINY, mesh, 1), mesh)
    restored = checkpoints.restore(blank)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(blank.saved))
    shapes = to_load(lambda params: new_state(params, mesh), restored.params, mesh)
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(shapes))
    loaded = checkpoints.load(None, shapes)
  for found in (restored, loaded):
    jax.tree.map(np.testing.assert_array_equal, found.params, random_params(TINY, mesh, 3))


def test_one_process_gets_back_what_it_gave():
  mesh, tree = make_mesh(), {"x": np.arange(3)}
  assert hosts.is_first() and hosts.first_decides(lambda: True)
  for through in (hosts.mine, hosts.to_global, hosts.gather):
    assert through(mesh, tree) is tree
  assert hosts.to_local(tree)["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--processes=2"], "--processes=2: needs --coordinator=HOST:PORT"),
    (["--coordinator=here", "--processes=2"], "--coordinator=here: give it as HOST:PORT"),
    (["--coordinator=a:1", "--distributed"], "without --distributed"),
    (["--coordinator=a:1", "--processes=2", "--process=2"], "they are numbered from 0"),
  ],
)
def test_flags_that_do_not_make_sense_together_are_refused(flags, message):
  with pytest.raises(UserError, match=message):
    train.main(["--config=configs/grpo.py", *flags])


def test_a_run_folder_of_another_process_is_only_read(tmp_path):
  mine, other = RunFolder(str(tmp_path)), RunFolder(str(tmp_path), read_only=True)
  mine.create({"seed": 0}, digest="d", config_file="c.py")
  mine.append_metrics({"step": 1})
  other.create({"seed": 1}, digest="e", config_file="c.py")
  other.append_metrics({"step": 2})
  other.truncate(-1)
  other.clear()
  with other.recording_outcome():
    other.write_status("running")
  assert mine.read_metrics() == other.read_metrics() == [{"step": 1}]
  assert mine.read_config()["digest"] == "d" and mine.read_status() == {}
