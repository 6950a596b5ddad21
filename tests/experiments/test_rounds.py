"""The command, really run, small enough to take seconds."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from experiments import rounds as rounds_command
from rounds import one_round
from rounds.deployment import Deployment
from tests.experiments import commands
from tests.experiments.test_train import checkpoint_bytes, environment, results, train
from training.checking import config_files, digests
from training.errors import UserError
from training.records.earlier import set_damaged_aside
from training.records.run_folder import RunFolder

SMALL = """
  task.reward=scorer steps=2 batch_prompts=8 group_size=2 task.train_prompts=64 task.eval_prompts=16
  model.layers=1 model.d_model=32 model.heads=2 model.kv_heads=1 model.head_dim=16 model.ff_dim=64
  base.steps=4 base.batch_prompts=16 eval.every=2 eval.samples=2 checkpoint.every=1
""".split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  return tmp_path_factory.mktemp("place")


WORDS = ["--config=configs/rounds.py", *(f"--config.{setting}" for setting in SMALL)]


def rounds(place, *arguments):
  return commands.run(rounds_command.main, *WORDS, *arguments, place=place)


def left_behind(folder):
  """Returns all that two rounds leave but times: metrics, verdicts and the policies' bytes."""
  home = Deployment(str(folder))
  kept = [(r.verdict, r.evaluation, results(r.path)) for r in home.finished]
  return kept, results(folder), [checkpoint_bytes(pathlib.Path(r.path)) for r in home.finished]


@pytest.mark.slow
def test_rounds_killed_anywhere_end_with_the_bits_of_ones_never_stopped(place):
  whole, cut = place / "runs" / "whole", place / "runs" / "cut"
  words = [sys.executable, "-m", "experiments.rounds", *WORDS, f"--out={cut}", "--rounds=2"]

  def signs():
    """Returns which files of a round's steps are there, in the order in which they come."""
    first, second = (Deployment(str(cut)).round(n) for n in (1, 2))
    run = RunFolder(first.path)
    return (
      bool(os.path.exists(first.data_folder)),
      run.read_status().get("step", 0) >= 1,
      bool(first.evaluation),
      bool(first.verdict),
      bool(second.dataset),
    )

  for sign in range(5):
    process = subprocess.Popen(words, cwd=place, env=environment(place))
    while process.poll() is None and not signs()[sign]:
      time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
  # Finished before this process has seen such rounds, so that nothing is left over from them.
  assert rounds(place, f"--out={cut}", "--rounds=2").returncode == 0
  done = rounds(place, f"--out={whole}", "--rounds=2")
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("round ") == 2
  assert left_behind(cut) == left_behind(whole)
  again = rounds(place, f"--out={cut}", "--rounds=2")
  assert "has 2 rounds already" in again.stdout
  assert [row["rollouts"] for row in RunFolder(str(cut)).read_metrics()] == [0, 32, 64]


def test_one_round_judged_by_the_task_is_offline_training(place):
  done = rounds(place, "--out=runs/one", "--config.rounds.judge=task")
  assert done.returncode == 0, done.stderr
  config = RunFolder(str(place / "runs" / "one")).read_config()["config"]
  same = [f"--config.{setting}" for setting in SMALL]
  same += [f"--config.optimizer.learning_rate={config['optimizer']['learning_rate']}"]
  same += [f"--config.algorithm.beta={config['algorithm']['beta']}"]
  offline = train(place, "--out=runs/offline", *same, config="configs/dpo.py")
  assert offline.returncode == 0, offline.stderr
  one = place / "runs" / "one" / "rounds" / "001"
  assert checkpoint_bytes(one) == checkpoint_bytes(place / "runs" / "offline")
  assert results(one) == results(place / "runs" / "offline")


def test_a_round_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before(place):
  assert rounds(place, "--out=runs/hurt").returncode == 0
  round_ = Deployment(str(place / "runs" / "hurt")).round(1)
  home, before = pathlib.Path(round_.path), round_.verdict
  bits = checkpoint_bytes(home)
  for name in ("evaluation.json", "verdict.json"):
    (home / name).unlink()
  next((home / "checkpoints" / "2").glob("state/ocdbt.process_0/d/*")).write_bytes(b"")
  deployment = Deployment(str(place / "runs" / "hurt"))
  with pytest.raises(UserError, match="step 1, train with --from_earlier"):
    one_round.go_through(deployment, round_, str(place / "runs"), lambda row: None)
  done = rounds(place, "--out=runs/hurt", "--from_earlier")
  assert done.returncode == 0, done.stderr
  assert (home / "damaged_checkpoints" / "2").is_dir()
  assert checkpoint_bytes(home) == bits and round_.verdict == before


def test_the_status_of_a_finished_round_that_is_gone_is_written_again(place):
  assert rounds(place, "--out=runs/lost").returncode == 0
  home = place / "runs" / "lost"
  status, before = home / "rounds" / "001" / "status.json", RunFolder(str(home)).read_metrics()
  status.unlink()
  done = rounds(place, "--out=runs/lost", "--rounds=1")
  assert done.returncode == 0, done.stderr
  assert RunFolder(str(status.parent)).read_status()["state"] == "finished"
  assert RunFolder(str(home)).read_metrics() == before


@pytest.mark.parametrize("was_killed", [False, True])  # when it had set the checkpoint aside
def test_the_policy_of_a_finished_round_is_trained_again_where_its_checkpoint_is_damaged(
  place, was_killed
):
  out = f"--out=runs/served-{was_killed}"
  assert rounds(place, out).returncode == 0
  round_ = Deployment(str(place / "runs" / f"served-{was_killed}")).round(1)
  home, before = pathlib.Path(round_.path), (round_.verdict, round_.evaluation)
  bits = checkpoint_bytes(home)
  next((home / "checkpoints" / "2").glob("state/ocdbt.process_0/d/*")).write_bytes(b"")
  said = set_damaged_aside(round_.run) if was_killed else []
  done = rounds(place, out, "--rounds=1", "--from_earlier")
  assert done.returncode == 0, done.stderr
  assert "has 1 rounds already" in done.stdout
  assert "training goes on from step 1" in " ".join([*said, done.stdout])
  assert checkpoint_bytes(home) == bits and (round_.verdict, round_.evaluation) == before


def test_a_deployment_whose_loss_changed_is_refused_by_its_name(tmp_path):
  config = config_files.load("configs/rounds.py", {})
  about = digests.of_run(config)
  deployment = Deployment(str(tmp_path / "home"))
  names = about["digests"] | {"the loss `dpo`": "another"}
  deployment.run.create(
    config.to_dict(), digest="d", digests=names, config_file="configs/rounds.py"
  )
  with pytest.raises(UserError) as refused:
    rounds_command.refuse_another(deployment, about["digest"], config)
  changed = "holds a run of this config, made before the loss `dpo` (algorithms/dpo.py) changed.\n"
  assert changed in str(refused.value) and "--out=FOLDER" in str(refused.value)


def test_rounds_without_their_config_are_not_gone_on_with(tmp_path):
  deployment = Deployment(str(tmp_path / "home"))
  deployment.round(1).run.create({"seed": 0}, digest="d", config_file="configs/rounds.py")
  with pytest.raises(UserError, match="home/config.json is gone, so that nobody can tell"):
    rounds_command.refuse_another(deployment, "d", None)


def test_another_config_is_refused(place):
  config = config_files.load("configs/rounds.py", {}).to_dict()
  folder = RunFolder(str(place / "runs" / "other"))
  folder.create(config, digest="d", config_file="configs/rounds.py")
  changed = rounds(place, "--out=runs/other", "--config.seed=3")
  assert changed.returncode == 2
  assert "holds a run of another config (" in changed.stderr
  assert "base.steps 400 -> 4" in changed.stderr
  bad = rounds(place, "--out=runs/new", "--config.rounds.noise=0.9", "--rounds=-1")
  assert bad.returncode == 2 and "--rounds=-1: at least 1" in bad.stderr
  assert not (place / "runs" / "new").exists()
