"""A run's folder is never left half written and says truly what a launch would find."""

import errno
import fcntl
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from training.errors import Diverged, UserError
from training.records import environment, full_disk
from training.records.hold import held, is_held
from training.records.run_folder import RunFolder
from training.records.run_names import run_name

PROJECT = pathlib.Path(__file__).parent.parent.parent
CONFIG = {"seed": 0, "steps": 80, "algorithm": {"loss": "dpo", "beta": 0.1}}


@pytest.fixture
def folder(tmp_path):
  run = RunFolder(str(tmp_path / "sweep" / "dpo-s0"))
  run.create(CONFIG, digest="aa", config_file="configs/dpo.py", command="python -m x")
  return run


def test_a_folder_that_is_not_there_is_new(tmp_path):
  assert RunFolder(str(tmp_path / "none")).state("aa") == "new"


def test_a_created_run_knows_its_names(folder):
  about = folder.read_config()
  assert (about["name"], about["variant"], about["config"]) == (
    "dpo-s0",
    "dpo",
    CONFIG,
  )


@pytest.mark.parametrize("state", ["finished", "diverged", "failed"])
def test_how_a_run_ended_is_its_state(folder, state):
  folder.write_status(state, step=80, steps=80)
  assert folder.state("aa") == state


def test_another_digest_is_a_changed_run_whatever_its_state(folder):
  folder.write_status("finished")
  assert folder.state("bb") == "changed"


def test_a_run_of_this_live_process_is_running(folder):
  folder.write_status("running", step=3, steps=80)
  assert folder.state("aa") == "running"


def test_a_running_run_whose_process_died_is_to_be_resumed(folder):
  code = (
    "import sys, os; from training.records.run_folder import RunFolder;"
    "RunFolder(sys.argv[1]).write_status('running'); os.kill(os.getpid(), 9)"
  )
  subprocess.run([sys.executable, "-c", code, folder.path])
  assert folder.state("aa") == "resume"


def test_another_process_with_the_same_pid_is_not_the_run(folder):
  folder.write_status("running")
  status = folder.read_status()
  assert not environment.is_alive(status["pid"], "1")


def test_a_stopped_run_is_to_be_resumed(folder):
  folder.write_status("stopped", step=3)
  assert folder.state("aa") == "resume"


@pytest.mark.parametrize(
  ("error", "state"),
  [
    (Diverged("nan"), "diverged"),
    (UserError("mesh"), "failed"),
    (KeyboardInterrupt(), "stopped"),
  ],
)
def test_the_outcome_is_recorded_with_the_step_and_metrics_it_reached(folder, error, state):
  folder.write_status("running", step=7, steps=80, metrics={"eval/reward": 0.5})
  with pytest.raises(type(error)), folder.recording_outcome():
    raise error
  status = folder.read_status()
  assert (status["state"], status["step"], status["metrics"]) == (
    state,
    7,
    {"eval/reward": 0.5},
  )


def test_a_block_that_ends_well_is_a_finished_run(folder):
  with folder.recording_outcome():
    folder.write_status("running", step=80, steps=80)
  assert folder.state("aa") == "finished"


def test_values_that_are_not_finite_are_null_and_array_scalars_plain(folder):
  row = {
    "step": 1,
    "train/loss": float("nan"),
    "train/kl": np.float32("inf"),
    "x": np.float32(0.5),
  }
  folder.append_metrics(row)
  expected = {"step": 1, "train/loss": None, "train/kl": None, "x": 0.5}
  assert folder.read_metrics() == [expected]


def test_a_half_written_last_line_is_not_read(folder):
  folder.append_metrics({"step": 1})
  with open(f"{folder.path}/metrics.jsonl", "a") as file:
    file.write('{"step": 2, "train/lo')
  assert folder.read_metrics() == [{"step": 1}]


def test_a_resumed_run_writes_rows_after_its_checkpoint_once(folder):
  for step in range(5):
    folder.append_metrics({"step": step})
    folder.append_completions([{"step": step, "completion": "a\nb"}])
    folder.append_prompts({"step": step, "greedy": [1.0, 0.5], "sampled": [0.25, float("nan")]})
    folder.append_groups([{"step": step, "responses": [{"reward": float("nan")}]}])
  with open(f"{folder.path}/metrics.jsonl", "a") as file:
    file.write('{"step": 5')
  folder.truncate(2)
  folder.append_metrics({"step": 3})
  assert [row["step"] for row in folder.read_metrics()] == [0, 1, 2, 3]
  assert [row["step"] for row in folder.read_completions()] == [0, 1, 2]
  assert folder.read_prompts()[1:] == [
    {"step": step, "greedy": [1.0, 0.5], "sampled": [0.25, None]} for step in (1, 2)
  ]
  assert [row["step"] for row in folder.read_groups()] == [0, 1, 2]
  assert folder.read_groups()[0]["responses"] == [{"reward": None}]


def test_no_temporary_file_is_left(folder, tmp_path):
  folder.write_status("running")
  assert not list(tmp_path.rglob("*.tmp"))


def test_the_environment_is_written_without_git_too(folder, monkeypatch):
  monkeypatch.setenv("PATH", "")
  folder.write_env("cpu x1", "characters")
  env = folder.read_env()
  assert (env["git"], env["device"]) == ("", "cpu x1")
  assert "jax" in env["versions"]


def test_a_cleared_run_is_new(folder):
  folder.clear()
  assert folder.state("aa") == "new"


@pytest.mark.parametrize(
  ("config_file", "overrides", "name"),
  [
    ("configs/dpo.py", {}, "dpo-s0"),
    ("configs/dpo.py", {"algorithm.beta": 0.2}, "dpo-beta0.2-s0"),
    ("configs/grpo.py:k=8", {"seed": 3}, "grpo-k8-s3"),
    (
      "configs/grpo.py",
      {"optimizer.learning_rate": "1e-3", "seed": "1"},
      "grpo-lr1e-3-s1",
    ),
    ("configs/dpo.py", {"source": "offline"}, "dpo-offline-s0"),
    (
      "configs/dpo.py",
      {"base.steps": 10, "steps": 10},
      "dpo-base.steps10-steps10-s0",
    ),
    ("configs/dpo.py", {"algorithm.loss": "mylab.losses:mine"}, "dpo-mine-s0"),
    ("configs/dpo.py", {"task.options": "min_word_len=3"}, "dpo-min_word_len_3-s0"),
  ],
)
def test_a_run_is_named_by_its_file_what_was_overridden_and_the_seed(config_file, overrides, name):
  assert run_name(config_file, overrides) == name


def test_config_json_is_readable_json(folder):
  with open(f"{folder.path}/config.json") as file:
    assert json.load(file)["digest"] == "aa"


# --- two processes --------------------------------------------------------------------------------

HOLD = """
import sys
from training.records.hold import held
from training.records.run_folder import RunFolder

with held(RunFolder(sys.argv[1])):
  print("held", flush=True)
  sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_refused_till_that_dies(folder):
  command = [sys.executable, "-c", HOLD, folder.path]
  with subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
  ) as other:
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    assert is_held(folder)
    with pytest.raises(UserError, match="another process is training this run"):
      with held(folder):
        pass
    folder.clear()  # does not take the lock away
    assert is_held(folder)
    other.kill()
  assert not is_held(folder)


def test_a_disk_that_locks_nothing_is_refused(folder, monkeypatch):
  def refuse(file, how):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", refuse)
  with pytest.raises(UserError, match="its disk locks no files .No locks available."):
    with held(folder):
      pass


# --- damaged files --------------------------------------------------------------------------------


def test_lines_that_are_no_rows_are_set_aside_and_said(folder):
  path = pathlib.Path(folder.path) / "metrics.jsonl"
  broken = [b"", b"\0\0\0", b'{"step": 2, "train/lo', b"[1]", b'{"loss": 1}', b"\xff\xfe"]
  rows = [b'{"step": 0}', b'{"step": 1}', b'{"step": 3}']
  lines = [rows[0], *broken[:3], rows[1], *broken[3:], rows[2], b'{"step": 4']
  path.write_bytes(b"\n".join(lines))
  assert [row["step"] for row in folder.read_metrics()] == [0, 1, 3]
  (said,) = folder.truncate(1)
  assert "metrics.jsonl: 6 lines are no rows: set aside in" in said
  assert path.read_bytes().split(b"\n") == [*rows[:2], b""]
  assert (path.parent / "metrics.jsonl.broken").read_bytes() == b"\n".join([*broken, b""])
  assert folder.truncate(1) == []


@pytest.mark.parametrize("text", ["{", "[1, 2]", '"x"', "\0", '{"a": 1}}'])
@pytest.mark.parametrize("name", ["config.json", "status.json"])
def test_a_damaged_file_is_named(folder, name, text):
  (pathlib.Path(folder.path) / name).write_text(text)
  with pytest.raises(UserError, match=rf"{name} is damaged.*move it away"):
    folder.state("aa")


def test_a_digit_that_a_disk_changed_is_named(folder):
  folder.write_status("running", step=3, steps=80)
  path = pathlib.Path(folder.path, "status.json")
  path.write_text(path.read_text().replace('"steps": 80', '"steps": 90'))
  with pytest.raises(UserError, match="status.json is damaged: it is not what its 'checksum' is"):
    folder.read_status()


def test_rows_of_nobody_knows_which_run_are_not_gone_on_with(folder):
  folder.append_metrics({"step": 1})
  pathlib.Path(folder.path, "config.json").unlink()
  with pytest.raises(UserError, match="config.json is gone, so that nobody can tell") as refused:
    folder.create(CONFIG, digest="aa", config_file="configs/dpo.py")
  assert str(refused.value).endswith(f"rm -r {folder.path}")
  assert folder.read_metrics() == [{"step": 1}]


def test_a_folder_that_was_removed_under_its_run_is_said(folder):
  folder.check_there()
  folder.clear()
  with pytest.raises(UserError, match=f"{folder.path} was removed while it was trained"):
    folder.check_there()
  folder.create(CONFIG, digest="aa", config_file="configs/dpo.py")
  with pytest.raises(UserError, match="was removed while"), folder.recording_outcome():
    folder.clear()
    raise FileNotFoundError("checkpoints/4")  # as Orbax would
  assert not os.path.exists(folder.path)


def test_a_part_of_a_folder_that_was_removed_is_said_and_other_files_are_not_taken_for_one(folder):
  with pytest.raises(UserError, match="was removed while"), folder.recording_outcome():
    open(f"{folder.path}/checkpoints/4/metrics", "rb")
  assert folder.state("aa") == "resume"
  with pytest.raises(FileNotFoundError), folder.recording_outcome():
    open(f"{folder.path}-other/checkpoints/4/metrics", "rb")


TENSORSTORE = (
  'RESOURCE_EXHAUSTED: Failed writing: "/runs/x/checkpoints/2/d/39": Failed to write 17615 bytes '
  "to file 30: No space left on device [os_error_code='28']"
)


def test_a_full_disk_is_said_with_its_file_whoever_wrote():
  file = "/runs/x/metrics.jsonl"
  assert full_disk.said(OSError(errno.ENOSPC, "No space left", file)).startswith(
    f"{file}: No space"
  )
  wrapped = RuntimeError("Orbax failed")
  wrapped.__cause__ = ValueError(TENSORSTORE)
  assert full_disk.said(wrapped).startswith("/runs/x/checkpoints/2/d/39: No space left on device. ")
  for other in (FileNotFoundError(errno.ENOENT, "No such file", file), ValueError("no good"), None):
    assert full_disk.said(other) == ""
