"""A sweep typed as one command, without a file: `experiments.train --sweep.FIELD=A,B --seeds=N`."""

import os
import subprocess
import sys

import pytest

from experiments import train
from experiments.sweeping import plan
from tests.experiments import commands
from tests.experiments.test_sweep import environment
from tests.training.small_configs import SMALL_MODEL
from training.records.run_folder import RunFolder

RATES = "--sweep.optimizer.learning_rate=1e-4,2e-4"
GRPO = ("--config=configs/grpo.py:k=8", RATES)
TINY = SMALL_MODEL | {"steps": 2, "batch_prompts": 4, "base.steps": 0, "eval.samples": 2}
TINY |= {"task.train_prompts": 32, "task.eval_prompts": 8, "wandb.mode": "disabled"}


def run(place, *words):
  return commands.run(train.main, *words, place=place)


def test_it_makes_the_product_in_a_folder_that_says_what_is_swept(tmp_path):
  done = run(tmp_path, *GRPO, "--seeds=3", "--dry_run=commands")
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  name, seeds = "grpo-k8-sweep-lr", [f"s{n}" for n in (0, 0, 1, 1, 2, 2)]
  assert [line.rpartition("-")[2] for line in lines] == seeds
  assert f"--group={name} --out=runs/{name}/grpo-k8-lr2e-4-s2" in lines[-1]
  assert "--config.optimizer.learning_rate=2e-4" in lines[-1] and "--config.seed=2" in lines[-1]
  assert not os.path.exists(tmp_path / "runs")


@pytest.mark.parametrize(
  ("words", "name", "count"),
  [
    (["--seeds=2"], "dpo-sweep-seed", 2),
    (["--sweep.seed=4,7"], "dpo-sweep-seed", 2),
    (["--sweep.algorithm.beta=0.1,0.2", "--sweep.steps=5,6"], "dpo-sweep-beta-steps", 4),
    (["--seeds=2", "--sweep.algorithm.beta=0.1,0.1"], "dpo-sweep-beta", 2),
    (["--seeds=2", "--config.steps=5", "--config.wandb.mode=offline"], "dpo-steps5-sweep-seed", 2),
    (["--seeds=2", "--out=here"], "here", 2),
  ],
)
def test_names_and_numbers_of_runs(tmp_path, words, name, count):
  done = run(tmp_path, "--config=configs/dpo.py", *words, "--dry_run")
  runs = f"{count} runs, {count} to do, in {'' if name == 'here' else 'runs/'}{name}"
  assert done.returncode == 0 and runs in done.stdout, done.stderr


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    (["--sweep.optimizer.lr=1,2"], "Did you mean --config.optimizer.learning_rate?"),
    (["--sweep.optimizer.learning_rate=1e-4,-1"], "1 of 2 items have problems; nothing was run"),
    (["--sweep.steps"], "--sweep.steps needs values after a `=`: --sweep.steps=1,2"),
    (["--sweep.steps=,"], "--sweep.steps needs values after a `=`"),
    (["--sweep.steps=1,2", "--config.steps=3"], "--sweep.steps and --config.steps: give one"),
    (["--seeds=2", "--config.seed=3"], "--seeds=2 are 0 to 1: give no other seed"),
    (["--seeds=2", "--sweep.seed=3"], "--seeds=2 are 0 to 1: give no other seed"),
    (["--seeds=-1"], "--seeds=-1: how many seeds"),
    (["--seeds=two"], "--seeds is int"),
    (["--seeds=2", "--overwrite"], "'--overwrite' is not a flag"),
  ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(tmp_path, words, answer):
  done = run(tmp_path, "--config=configs/dpo.py", *words)
  assert done.returncode == 2 and answer in done.stderr
  assert not os.listdir(tmp_path)


def test_a_sweep_file_has_its_own_seeds(tmp_path):
  done = run(tmp_path, "--config=configs/sweeps/quick.py", "--seeds=2")
  assert done.returncode == 2 and "run it with python -m experiments.sweep" in done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Two runs of two steps, trained by the command in processes of their own; and where."""
  place = tmp_path_factory.mktemp("typed")
  words = ["--config=configs/grpo.py:k=2", RATES, *(f"--config.{k}={v}" for k, v in TINY.items())]
  command = [sys.executable, "-m", "experiments.train", *words, "--out=runs/typed"]
  done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True)
  return place, words, done


@pytest.mark.slow
def test_it_trains_and_ends_with_the_table_and_the_page(trained):
  place, _, done = trained
  assert done.returncode == 0, done.stdout + done.stderr
  assert "report: runs/typed/report.html" in done.stdout
  assert os.path.exists(place / "runs" / "typed" / "report.html")
  for rate in ("1e-4", "2e-4"):
    folder = RunFolder(str(place / "runs" / "typed" / f"grpo-k2-lr{rate}-s0"))
    assert folder.read_status()["state"] == "finished"
    assert folder.read_config()["config"]["optimizer"]["learning_rate"] == float(rate)


@pytest.mark.slow
def test_typed_again_it_has_nothing_to_do_and_more_values_join_it(trained):
  place, words, _ = trained
  again = run(place, *words, "--out=runs/typed")
  assert again.returncode == 0 and "nothing to do, 2/2 runs finished" in again.stdout
  more = run(
    place, *words, "--sweep.optimizer.learning_rate=1e-4,2e-4,3e-4", "--out=runs/typed", "--dry_run"
  )
  assert "3 runs, 1 to do, in runs/typed" in more.stdout


def test_the_name_tells_fields_of_one_name_apart():
  swept = {"eval.every": ["1"], "checkpoint.every": ["1", "2"]}
  assert (
    plan.make("configs/dpo.py", {}, swept=swept).name == "dpo-sweep-eval.every-checkpoint.every"
  )
