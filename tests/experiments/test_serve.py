"""The command's own checks, before anything is loaded: what is wrong, and what to type instead."""

import os

import pytest

from experiments import serve
from rounds.deployment import Deployment
from tests.experiments import commands
from training.checking import config_files
from training.records import hold
from training.records.run_folder import RunFolder


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch):
  monkeypatch.setattr("experiments.serve.compiled_programs.keep_below", begun)


def begun(root):
  raise SystemExit(0)


def called(place, *words):
  """As the command in a process of its own: what it locked is free when it has ended."""
  locked, lock = [], hold.lock

  def kept(*arguments):
    locked.append(lock(*arguments))
    return locked[-1]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hold, "lock", kept)
    done = commands.run(serve.main, *words, place=place)
  for descriptor in locked:
    os.close(descriptor)
  return done


@pytest.fixture
def run(tmp_path):
  folder = RunFolder(str(tmp_path / "runs" / "dpo"))
  config = config_files.load(
    "configs/dpo.py", {"model.d_model": 64, "sampling.max_tokens": 9, "batch_prompts": 17}
  )
  folder.create(config.to_dict(), digest="d", config_file="configs/dpo.py")
  folder.mark("finished")
  return folder


@pytest.mark.parametrize(
  ("words", "said"),
  [
    ([], "give --deployment=FOLDER"),
    (["--deployment=runs/none"], "is no deployment yet: begin it with"),
    (["--deployment=a", "--config=configs/dpo.py"], "is of no rounds"),
    (["--deployment=a", "--config=configs/rounds.py", "--run=b"], "give one of"),
    (["--deployment=a", "--config.steps=3"], "give one of"),
    (["--deployment=a", "--run=b"], "is no run's folder"),
    (["--deployment=a", "--model=none"], "none"),
    (["--deployment=a", "--config=configs/rounds.py", "--config.stepz=3"], "stepz"),
    (["--deployment=a", "--host=0.0.0.0"], "--token"),
    (["--deployment=a", "--every=often"], "such as 1h"),
    (["--deployment=a", "--every=0h"], "such as 1h"),
    (["--deployment=a", "--port=70000"], "from 0 to 65535"),
  ],
)
def test_a_slip_is_said_and_nothing_is_made(tmp_path, words, said):
  done = called(tmp_path, *words)
  assert done.returncode == 2 and said in done.stderr
  assert not (tmp_path / "a").exists() and not (tmp_path / "runs").exists()


def test_a_deployment_begins_with_people_as_its_judges(tmp_path):
  words = ["--deployment=a", "--config=configs/rounds.py", "--config.steps=3"]
  assert called(tmp_path, *words).returncode == 0
  config = Deployment(str(tmp_path / "a")).config
  assert config["rounds"]["judge"] == "people" and config["steps"] == 3
  assert called(tmp_path, *words).returncode == called(tmp_path, "--deployment=a").returncode == 0
  other = called(tmp_path, *words[:2], "--config.steps=4")
  assert other.returncode == 2 and "steps 3 -> 4" in other.stderr


def test_a_deployment_begins_with_a_finished_run(tmp_path, run):
  assert called(tmp_path, "--deployment=a", "--run=runs/dpo").returncode == 0
  config = Deployment(str(tmp_path / "a")).config
  assert config["base"]["run"] == "runs/dpo" and config["source"] == "rounds"
  its = run.read_config()["config"]  # a step of no more prompts than the run's task has
  assert config["batch_prompts"] == its["batch_prompts"]
  assert config["model"]["d_model"] == 64 and config["sampling"]["max_tokens"] == 9
  run.mark("running")
  refused = called(tmp_path, "--deployment=b", "--run=runs/dpo")
  assert refused.returncode == 2 and "is not finished" in refused.stderr


def test_a_folder_of_something_else_stays_as_it_is(tmp_path, run):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "mine.txt").write_text("mine")
  done = called(tmp_path, "--deployment=a", "--config=configs/rounds.py")
  assert done.returncode == 2 and "is not empty" in done.stderr
  assert "is no deployment" in called(tmp_path, "--deployment=runs/dpo").stderr


@pytest.mark.parametrize(
  "token", [["--token=correcthorsebattery"], ["--token", "correcthorsebattery"]]
)
def test_a_token_is_not_kept(tmp_path, token):
  words = ["--deployment=a", *token, "--config=configs/rounds.py"]
  assert called(tmp_path, *words).returncode == 0
  assert "correcthorse" not in (tmp_path / "a" / "command.txt").read_text()


def test_one_process_at_a_time_serves_a_deployment(tmp_path):
  words = ["--deployment=a", "--config=configs/rounds.py"]
  assert called(tmp_path, *words).returncode == 0
  descriptor = hold.lock(str(tmp_path / "a" / ".service.lock"), "")
  second = called(tmp_path, "--deployment=a")
  os.close(descriptor)
  assert second.returncode == 2 and "a: another process serves it" in second.stderr
