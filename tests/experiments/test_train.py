"""Real runs of the command, small enough to take a second."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import evaluate
from experiments import train as train_command
from tests.experiments import commands
from training.checking import config_files, digests
from training.records.run_folder import RunFolder

PROJECT = pathlib.Path(__file__).parent.parent.parent
SMALL = """
  task.reward=scorer steps=6 batch_prompts=8 group_size=4 task.train_prompts=64 task.eval_prompts=16
  model.layers=1 model.d_model=32 model.heads=2 model.kv_heads=1 model.head_dim=16 model.ff_dim=64
  base.steps=4 base.batch_prompts=16 eval.every=3 eval.samples=2 checkpoint.every=2
""".split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """An empty folder to run in."""
  return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def finished(place):
  """A run that went to its end."""
  folder = place / "runs" / "finished"
  done = train(place, f"--out={folder}")
  assert done.returncode == 0, done.stderr
  assert "done" in done.stdout
  return folder


def train(place, *arguments, config="configs/grpo.py"):
  words = [f"--config={config}", *(f"--config.{setting}" for setting in SMALL), *arguments]
  return commands.run(train_command.main, *words, place=place)


def environment(place):
  """Of a process of its own."""
  return os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{place}"}


def results(folder):
  """The metrics but for the times, the completions, and the groups."""
  timed = ("seconds", "train/seconds", "train/step_time", "perf/tokens_per_second")
  files = RunFolder(str(folder))
  rows = [{k: v for k, v in row.items() if k not in timed} for row in files.read_metrics()]
  return rows, files.read_completions(), files.read_groups()


def checkpoint_bytes(folder):
  import jax
  import numpy as np
  from orbax.checkpoint import v1 as ocp

  with ocp.training.Checkpointer(os.path.abspath(folder / "checkpoints")) as checkpoints:
    tree = checkpoints.load(checkpoints.latest.step)
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


EVERYTHING = [  # a critic, a reference that moves, several updates a step
  *("--config.inner_epochs=2", "--config.minibatches=2", "--config.sampling.refills=1"),
  *("--config.reference.every=2", "--config.reference.mix=0.5", "--config.scoring.unfinished=-1"),
]


@pytest.fixture(scope="module")
def killed_and_whole(place):
  """A run killed and resumed, and one never stopped."""
  cut, whole = place / "runs" / "cut", place / "runs" / "whole"
  words = [f"--config.{setting}" for setting in SMALL] + EVERYTHING
  command = [sys.executable, "-m", "experiments.train", "--config=configs/ppo.py", *words]

  def is_cut() -> bool:
    shutil.rmtree(cut, ignore_errors=True)
    process = subprocess.Popen([*command, f"--out={cut}"], cwd=place, env=environment(place))
    while process.poll() is None and RunFolder(str(cut)).read_status().get("step", 0) < 3:
      time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    return killed and 3 <= RunFolder(str(cut)).read_status()["step"] < 6

  assert any(is_cut() for _ in range(10))  # on a busy machine a kill may come too late
  # Resumed before this process has seen such a run, so that nothing is left over from it.
  for folder in (cut, whole):
    done = train(place, f"--out={folder}", *EVERYTHING, config="configs/ppo.py")
    assert done.returncode == 0, done.stderr
  return cut, whole


@pytest.mark.slow
def test_a_run_killed_and_resumed_ends_with_the_bits_of_one_never_stopped(killed_and_whole):
  cut, whole = killed_and_whole
  assert results(cut) == results(whole)
  assert len(results(cut)[0]) == 7  # step 0 .. 6
  assert checkpoint_bytes(cut) == checkpoint_bytes(whole)


@pytest.mark.slow
def test_minibatches_and_a_critic_on_two_devices_train_as_on_one(place, killed_and_whole):
  _, one = killed_and_whole
  two = place / "runs" / "two"
  words = (f"--out={two}", *EVERYTHING, "--config.mesh.data=2")
  done = train(place, *words, config="configs/ppo.py")
  assert done.returncode == 0, done.stderr
  last = [RunFolder(str(folder)).read_metrics()[1] for folder in (one, two)]
  for name in ("train/loss", "train/value_loss", "train/reward", "train/grad_norm"):
    assert last[1][name] == pytest.approx(last[0][name], rel=1e-3, abs=1e-5), name


def test_a_policy_trained_on_a_reward_model_shows_its_score_beside_the_true_reward(place):
  # A base policy that ends some of its answers, so that some are better than others.
  small = ["--config.reward_model.steps=4", "--config.reward_model.batch_prompts=8"]
  small += ["--config.base.steps=40", "--config.scoring.reward=model"]
  done = train(place, "--out=runs/judged", *small)
  assert done.returncode == 0, done.stderr
  rows = RunFolder(str(place / "runs" / "judged")).read_metrics()
  assert {"eval/reward_model", "eval/reward_sampled"} <= rows[-1].keys()
  assert {"train/reward", "train/task_reward"} <= rows[-1].keys()
  (model,) = (path for path in (place / "runs" / "reward_models").iterdir() if path.is_dir())
  last = RunFolder(str(model)).read_metrics()[-1]
  assert 0 <= last["eval/accuracy"] <= 1 and "eval/reward" not in last
  # Named instead of trained: the same model, the same run.
  again = train(place, "--out=runs/named", *small, f"--config.scoring.model={model}")
  assert again.returncode == 0, again.stderr
  assert results(place / "runs" / "named") == results(place / "runs" / "judged")


def test_what_a_run_leaves_behind(finished):
  folder = RunFolder(str(finished))
  rows = folder.read_metrics()
  assert rows[0]["step"] == 0 and rows[0]["eval/kl"] == 0  # the policy is its reference
  assert [row["rollouts"] for row in rows] == [32 * step for step in range(7)]
  assert {"eval/reward", "eval/pass@2", "eval/entropy", "eval/length"} <= rows[3].keys()
  assert {"train/loss", "train/reward", "train/implied_rewards/best"} <= rows[1].keys()
  assert rows[1]["train/ratio/mean"] == pytest.approx(1, abs=1e-5)
  assert folder.read_status()["state"] == "finished"
  completions = folder.read_completions()
  assert len(completions) == 16 * 3  # at steps 0, 3 and 6
  assert [len(row["samples"]) for row in completions] == [2] * len(completions)
  assert completions[0]["samples"][0].keys() == {"completion", "reward", "finished"}


def test_groups_that_were_trained_on_are_kept_with_what_the_loss_did_to_each(finished):
  """GRPO's push on a response is its advantage: nothing was clipped in the first update."""
  groups = RunFolder(str(finished)).read_groups()
  assert [row["step"] for row in groups] == [1, 1, 3, 3, 6, 6]
  for group in groups[:2]:
    assert group["prompt"].endswith(">") and group["answer"]
    responses = group["responses"]
    assert len(responses) == 4 and all(1 <= one["tokens"] for one in responses)
    rewards = np.array([one["reward"] for one in responses])
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    pushes = [one["push"] for one in responses]
    assert pushes == pytest.approx(advantages, abs=1e-4)
    assert [one["weight"] * one["tokens"] for one in responses] == pytest.approx(pushes)


def test_a_finished_run_is_left_alone_and_another_config_is_refused(place, finished):
  before = results(finished)
  again = train(place, f"--out={finished}")
  assert again.returncode == 0 and "finished already (step 6)" in again.stdout
  other = train(place, f"--out={finished}", "--config.algorithm.beta=0.3")
  assert other.returncode == 2
  assert "algorithm.beta 0.0 -> 0.3" in other.stderr
  assert results(finished) == before


def test_a_finished_run_is_another_only_if_the_code_of_its_loss_is(place):
  mine, folder = place / "mine_told.py", RunFolder(str(place / "runs" / "told"))
  mine.write_text("def f(logps, mask):\n  return -logps.sum(), {}\n")
  words = (f"--out={folder.path}", "--config.algorithm.loss=mine_told:f")
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(place)
    overrides = {setting.partition("=")[0]: setting.partition("=")[2] for setting in SMALL}
    overrides["algorithm.loss"] = "mine_told:f"
    config = config_files.load("configs/grpo.py", overrides)
    folder.create(config.to_dict(), config_file="configs/grpo.py", **digests.of_run(config))
  folder.write_status("finished", step=6, steps=6)
  mine.write_text('def f(logps, mask):\n  """Mine."""\n  return -logps.sum(), {}  # a sum\n')
  assert "finished already (step 6)" in train(place, *words).stdout
  mine.write_text("def f(logps, mask):\n  return -logps.mean(), {}\n")
  changed = train(place, *words)
  assert changed.returncode == 2 and changed.stderr.startswith(
    f"error: {folder.path} holds a run of this config, made before the loss `mine_told:f` "
    "(mine_told.py) changed.\n       Give this one --out=FOLDER, or --overwrite to delete that one"
  )


def test_a_run_that_diverges_says_where_and_exits_with_3(place):
  too_much = ("--config.optimizer.weight_decay=1e38", "--config.optimizer.learning_rate=10")
  done = train(place, "--out=runs/wild", *too_much)
  assert done.returncode == 3, done.stderr
  assert "at step" in done.stderr and "Lower optimizer.learning_rate" in done.stderr
  assert RunFolder(str(place / "runs" / "wild")).read_status()["state"] == "diverged"


def test_a_mesh_larger_than_the_machine_is_refused(place):
  done = train(place, "--out=runs/large", "--config.mesh.data=16", "--config.batch_prompts=16")
  assert done.returncode == 2
  assert "needs 16 devices; this machine has" in done.stderr


OWN_LOSS = '''
"""A loss that Counterpoint has never heard of."""
import jax.numpy as jnp

def tempered(logps, rewards, mask, *, temperature=2.0):
  weights = (rewards - rewards.mean(axis=1, keepdims=True)) / temperature
  return -(weights[..., None] * jnp.where(mask, logps, 0)).sum() / rewards.size, {}
'''


def test_a_users_own_loss_trains_in_a_sweep_and_shows_in_its_report(place):
  (place / "mylab.py").write_text(OWN_LOSS)
  (place / "mine.py").write_text(f"""
def get_sweep():
  small = dict(setting.split("=") for setting in {SMALL!r})
  yield {{"name": "own", "config": "configs/grpo.py", "algorithm.loss": "mylab:tempered", **small}}
  yield {{"name": "off", "config": "configs/off_policy_grpo.py", **small}}
  yield {{"name": "bad", "config": "configs/grpo.py", **small, "optimizer.weight_decay": 1e38,
         "optimizer.learning_rate": 10}}
""")
  sweep = [sys.executable, "-m", "experiments.sweep", "--config=mine.py"]
  done = subprocess.run(sweep, cwd=place, env=environment(place), capture_output=True, text=True)
  assert done.returncode == 1, done.stdout + done.stderr  # one diverged, the others went on
  states = {
    name: RunFolder(str(place / "runs" / "mine" / f"{name}-s0")).read_status()["state"]
    for name in ("own", "off", "bad")
  }
  assert states == {"own": "finished", "off": "finished", "bad": "diverged"}
  page = (place / "runs" / "mine" / "report.html").read_text()
  assert "own" in page and "mylab:tempered" in page
  off = RunFolder(str(place / "runs" / "mine" / "off-s0")).read_metrics()
  assert off[-1]["rollouts"] == 6 * 8 * 4  # the data set's generation is counted


def test_a_checkpoint_is_evaluated(place, finished):
  done = commands.run(evaluate.main, f"--run={finished}", "--samples=4", "--show=3", place=place)
  assert done.returncode == 0, done.stderr
  assert "pass@4" in done.stdout and "KL" in done.stdout
  saved = json.loads((finished / "evaluation.json").read_text())
  last = RunFolder(str(finished)).read_metrics()[-1]
  assert saved["metrics"]["reward, greedy"]["value"] == pytest.approx(last["eval/reward"], abs=1e-6)
