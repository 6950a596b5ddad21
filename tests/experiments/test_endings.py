"""Commands that work for hours, and what may happen to their terminal meanwhile."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.experiments.test_hostile_texts import WORDS
from tests.experiments.test_train import PROJECT, environment
from training.records.run_folder import RunFolder

pytestmark = pytest.mark.slow
TRAIN = [sys.executable, "-m", "experiments.train", "--config=configs/grpo.py", *WORDS, "--out=run"]


def started(place, steps, seen=None, **streams):
  """A training process that has trained a step; what it shows on the terminal `seen` is read."""
  words = [*TRAIN, f"--config.steps={steps}", "--config.eval.every=100000"]
  process = subprocess.Popen(words, cwd=place, env=environment(PROJECT), **streams)
  while process.poll() is None and RunFolder(str(place / "run")).read_status().get("step", 0) < 1:
    time.sleep(0.02)
    read(seen)
  return process


def read(terminal):
  """What is there, so that there is room for more."""
  while terminal is not None and select.select([terminal], [], [], 0)[0]:
    os.read(terminal, 65536)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_a_run_and_a_second_one_changes_nothing(tmp_path, number):
  process = started(tmp_path, 100_000, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  for _ in range(3):
    process.send_signal(number)
    time.sleep(0.1)
  out, err = process.communicate()
  assert process.returncode == 130, err
  assert "Traceback" not in err and "the same command goes on" in out
  assert RunFolder(str(tmp_path / "run")).read_status()["state"] == "stopped"


def test_a_run_whose_terminal_is_gone_trains_to_its_end(tmp_path):
  ours, its = pty.openpty()
  streams = {"stdout": its, "stderr": its, "stdin": its}
  process = started(tmp_path, 400, seen=ours, start_new_session=True, **streams)
  os.close(its)
  read(ours)
  os.close(ours)  # without SIGHUP: it is no terminal that controls the process
  assert process.wait() == 0
  assert RunFolder(str(tmp_path / "run")).read_status()["state"] == "finished"


@pytest.mark.parametrize("output", ["/dev/full", "a reader that ended"])
def test_output_that_cannot_be_written_does_not_end_a_run(tmp_path, output):
  if output == "/dev/full":
    at = os.open(output, os.O_WRONLY)
  else:
    reader, at = os.pipe()
    os.close(reader)
  process = started(tmp_path, 3, stdout=at, stderr=at)
  os.close(at)
  assert process.wait() == 0
  assert RunFolder(str(tmp_path / "run")).read_status()["state"] == "finished"


def test_an_interrupt_while_python_imports_ends_a_command_without_a_traceback(tmp_path):
  (tmp_path / "ml_collections.py").write_text("raise KeyboardInterrupt\n")
  words = [sys.executable, "-m", "experiments.train", "--config=configs/grpo.py"]
  around = environment(PROJECT) | {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
  found = subprocess.run(words, cwd=tmp_path, env=around, capture_output=True, text=True)
  assert found.returncode in (130, -signal.SIGINT)
  assert found.stderr == found.stdout == ""
