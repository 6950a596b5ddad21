"""The sweep command, as a person runs it: what it prints, writes and exits with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from experiments.sweeping import plan
from tests.experiments import commands
from tests.training.stopped_runs import TIMED
from training.records.files import read_json
from training.records.run_folder import RunFolder

SWEEP = """
TINY = {
  "config": "configs/sft.py", "steps": 3, "batch_prompts": 4, "base.steps": 0, "eval.every": 1,
  "task.train_prompts": 64, "task.eval_prompts": 8, "eval.samples": 2, "wandb.mode": "disabled",
  "model.layers": 1, "model.d_model": 16, "model.ff_dim": 16, "model.head_dim": 8,
}

def get_sweep():
  yield {"name": "bad", **TINY, "optimizer.learning_rate": 1e30}
  yield {"name": "good", **TINY}
"""


# Two runs that differ in their seed, and can share a program.
ONE = (
  SWEEP.partition("def get_sweep")[0]
  + """
def get_sweep():
  for seed in range(2):
    yield {"name": "one", **TINY, "seed": seed, "checkpoint.every": 1}
"""
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  """An empty folder with a sweep file of two tiny runs."""
  folder = tmp_path_factory.mktemp("home")
  (folder / "tiny.py").write_text(SWEEP)
  return folder


def command(*arguments, file="tiny.py"):
  return [sys.executable, "-m", "experiments.sweep", f"--config={file}", *arguments]


def environment():
  here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  return os.environ | {"PYTHONPATH": here}


def run(home, *arguments, file="tiny.py"):
  return subprocess.run(
    command(*arguments, file=file), cwd=home, env=environment(), capture_output=True, text=True
  )


def until(is_so, seconds=120):
  deadline = time.time() + seconds
  while not is_so():
    assert time.time() < deadline
    time.sleep(0.1)


def test_a_dry_run_prints_the_commands_and_writes_nothing(home):
  before = commands.written(home)
  assert "2 to do" in run(home, "--dry_run", "--out=runs/dry").stdout
  done = run(home, "--dry_run=commands", "--out=runs/dry")
  assert done.returncode == 0
  assert [line.split("--out=")[1] for line in done.stdout.splitlines()] == [
    "runs/dry/bad-s0",
    "runs/dry/good-s0",
  ]
  assert commands.written(home) == before


@pytest.mark.parametrize(
  ("arguments", "answer"),
  [
    (["--only=nothing"], "no run's name contains 'nothing'. The runs: bad-s0, good-s0"),
    (["--jobs=0"], "--jobs=0"),
    (["--config.stps=3"], "Did you mean --config.steps"),
    (["--retri"], "Did you mean --retry"),
    (["--dry_run=command"], "--dry_run is one of plan, commands, wandb; 'command' is not."),
    (["--launcher=slrum"], "--launcher is one of local, slurm, submitit-local"),
    (["--resources=gpus_per_node=1"], "for --launcher=slurm and the like only"),
  ],
)
def test_bad_usage_is_answered_with_exit_code_2_and_nothing_is_run(home, arguments, answer):
  before = commands.written(home)
  done = run(home, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ") and answer in done.stderr
  assert commands.written(home) == before


def test_a_sweep_of_finished_runs_compares_them_at_once_without_jax(home):
  sweep = plan.make(str(home / "tiny.py"), {}, str(home / "runs" / "done"))
  for planned in sweep.runs:
    folder = planned.folder
    folder.create(planned.config, digest=planned.digest, config_file="x", variant=planned.variant)
    folder.append_metrics({"step": 0, "rollouts": 0, "eval/reward": 0.25})
    folder.append_metrics({"step": 3, "rollouts": 12, "eval/reward": 0.5})
    folder.write_status("finished", step=3, steps=3)
  code = (
    "import sys; from experiments import sweep; code = sweep.main(sys.argv[1:]);"
    "sys.exit('jax was imported' if 'jax' in sys.modules else code)"
  )
  arguments = [f"--config={home / 'tiny.py'}", f"--out={home / 'runs' / 'done'}"]
  done = subprocess.run(
    [sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert "nothing to do, 2/2 runs finished" in done.stdout
  assert "0.500" in done.stdout
  assert (home / "runs" / "done" / "report.html").exists()
  with open(home / "runs" / "done" / "sweep.json") as file:
    assert [run["variant"] for run in json.load(file)["runs"]] == ["bad", "good"]


@pytest.fixture(scope="module")
def swept(home):
  return run(home)


@pytest.mark.slow
def test_a_run_that_diverges_does_not_stop_the_sweep(home, swept):
  assert swept.returncode == 1, swept.stdout + swept.stderr
  statuses = [
    RunFolder(str(home / "runs" / "tiny" / f"{n}-s0")).read_status() for n in ("bad", "good")
  ]
  assert [status["state"] for status in statuses] == ["diverged", "finished"]
  assert "bad-s0: diverged" in swept.stdout and "nan" in swept.stdout
  assert "good-s0: finished  3/3" in swept.stdout
  assert "report: runs/tiny/report.html" in swept.stdout


@pytest.mark.slow
def test_the_same_command_again_has_nothing_to_do_and_says_what_failed(home, swept):
  done = run(home)
  assert done.returncode == 1
  assert "nothing to do, 1/2 runs finished, 1 failed (--retry runs them again)" in done.stdout


@pytest.mark.slow
def test_retry_runs_what_failed_again(home, swept):
  done = run(home, "--retry", "--only=bad")
  assert done.returncode == 1
  assert "bad-s0: running" in done.stdout and "good-s0: running" not in done.stdout


@pytest.mark.slow
def test_another_config_in_the_same_folder_is_refused(home, swept):
  done = run(home, "--config.steps=4")
  assert done.returncode == 2
  assert "runs/tiny/good-s0 holds a run of another config (steps 3 -> 4)" in done.stderr


@pytest.mark.slow
def test_interrupted_a_sweep_is_taken_over_and_killed_its_worker_ends(home, swept):
  arguments = ["--only=good", "--config.steps=100000", "--out=runs/long"]
  sweep = subprocess.Popen(
    command(*arguments), cwd=home, env=environment(), stdout=subprocess.PIPE, text=True
  )
  folder = RunFolder(str(home / "runs" / "long" / "good-s0"))
  until(lambda: folder.read_status().get("step", 0) >= 2)
  second = subprocess.Popen(
    command(*arguments), cwd=home, env=environment(), stdout=subprocess.PIPE, text=True
  )
  assert second.stdout and "is at this sweep. Waiting" in second.stdout.readline()
  step = folder.read_status()["step"]
  sweep.send_signal(signal.SIGINT)
  out, _ = sweep.communicate(timeout=60)
  assert sweep.returncode == 130
  assert "Run the same command again to go on" in out

  until(lambda: folder.read_status()["state"] == "running")  # the second's
  until(lambda: folder.read_status()["step"] > step)
  second.kill()
  until(lambda: folder.read_status()["state"] == "stopped")  # its worker sees that it is alone


@pytest.mark.slow
def test_a_run_of_a_program_goes_on_with_the_same_bits_beside_one_that_has_finished(home):
  (home / "one.py").write_text(ONE)
  words = ["--vectorize=2", "--out=runs/two"]

  def typed():
    done = run(home, *words, file="one.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

  def metrics():
    rows = stopped.read_metrics()
    return [{key: row[key] for key in row.keys() - set(TIMED)} for row in rows]

  assert "one-s0: running" in typed()
  stopped = RunFolder(str(home / "runs" / "two" / "one-s0"))
  whole = metrics()
  shutil.rmtree(stopped.checkpoint(3))
  stopped.mark("stopped")
  again = typed()
  assert "one-s0: running" in again and "one-s1: running" not in again
  assert metrics() == whole
  programs = read_json(str(home / "runs" / "two" / "sweep.json"))["programs"]
  assert programs == [["one-s0", "one-s1"]]
