"""A small share of the chaos, with other seeds each time; and that the harness sees what is wrong.

python -m tests.chaos --kills=1000 is the long run.
"""

import random
import secrets
import subprocess
import sys
import time

import pytest

from tests.chaos import left_behind, stops
from tests.chaos.starts import PROJECT, Starter
from tests.chaos.trials import SAME, WRONG, Trial, left_alone
from tests.chaos.works import WORKS, Work

QUICK = [name for name, work in WORKS.items() if not work.is_slow and work.processes == 1]
FAULTS = "kill -9,kill -9 group,SIGTERM,SIGINT,damaged file,full disk,halted"


@pytest.mark.slow
def test_a_run_hurt_at_random_ends_as_if_left_alone(tmp_path):
  seed = secrets.randbelow(10**6)
  words = [f"--works={random.Random(seed).choice(QUICK)}", f"--faults={FAULTS}", f"--seed={seed}"]
  done = subprocess.run(
    [sys.executable, "-m", "tests.chaos", *words, "--kills=10", "--minutes=1", f"--out={tmp_path}"],
    cwd=PROJECT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, f"python -m tests.chaos {words}\n{done.stdout}\n{done.stderr}"
  assert "same " in done.stdout


# A command that goes on after a kill: with care from its last row, else from the first again.
RESUMES = """
import os, sys, time

def main(argv):
  os.makedirs("runs/own", exist_ok=True)
  path = "runs/own/metrics.jsonl"
  done = open(path).read().count("\\n") if os.path.exists(path) and {careful} else 0
  for step in range(done, 20):
    with open(path, "a") as file:
      file.write('{{"step": %d}}\\n' % step)
    time.sleep(0.05)

if __name__ == "__main__":
  main(sys.argv)
"""


@pytest.mark.parametrize("careful, verdict", [(True, SAME), (False, WRONG)])
def test_a_command_that_doubles_rows_when_it_is_killed_is_found_out(tmp_path, careful, verdict):
  files = {"own_command.py": RESUMES.format(careful=careful)}
  work = Work("own", "own_command", (), files=files, is_slow=True)
  with Starter() as starter:
    whole = left_alone(work, tmp_path, starter)
    trial = Trial(work, "kill -9", 3, tmp_path / "hurt", starter)
    work.lay_out(trial.folder)
    stops.kill(trial, whole)
    found = trial.judge(whole, time.monotonic())
  assert found.injected > 0 and found.verdict == verdict
  if verdict == WRONG:
    assert "runs" not in found.lines[0] and "own/metrics.jsonl" in found.lines[0]


ROWS = [{"step": 1, "train/loss": 0.5}, {"step": 2, "train/loss": 0.25}]
LEFT = {
  "run/metrics.jsonl": ROWS,
  "run/checkpoints/2": {"arrays": {"w": b"\0\1"}, "beside": {"step": 2}},
}


@pytest.mark.parametrize(
  ("path", "content", "line"),
  [
    ("run/metrics.jsonl", ROWS[:1], "run/metrics.jsonl: 1 rows instead of 2"),
    ("run/metrics.jsonl", [*ROWS, ROWS[1]], "run/metrics.jsonl: 3 rows instead of 2"),
    (
      "run/metrics.jsonl",
      [ROWS[0], ROWS[1] | {"train/loss": 0.2500001}],
      "run/metrics.jsonl: row 1: train/loss: 0.2500001 instead of 0.25",
    ),
    (
      "run/checkpoints/2",
      {"arrays": {"w": b"\0\2"}, "beside": {"step": 2}},
      r"run/checkpoints/2: arrays: w: b'\x00\x02' instead of b'\x00\x01'",
    ),
    ("run/more.json", {}, "run/more.json: too much"),
  ],
)
def test_what_differs_is_named(path, content, line):
  assert left_behind.differences(LEFT, LEFT) == []
  assert left_behind.differences(LEFT, LEFT | {path: content}) == [(path, line)]


def test_rows_may_be_lost_with_a_file_that_was_named_and_be_what_the_damage_made_of_them():
  path = "run/metrics.jsonl"
  damaged = b'{"step": 1, "train/loss": 0.5}\n{"step": 2, "train/loss": 0.75}\n'
  changed = {path: [ROWS[0], {"step": 2, "train/loss": 0.75}]}
  for rows in ({path: ROWS[1:]}, changed):
    assert left_behind.differences(LEFT, LEFT | rows, {path: damaged}) == []
    assert left_behind.differences(LEFT, LEFT | rows)
  invented = {path: [ROWS[0], {"step": 2, "train/loss": 0.9}]}
  assert left_behind.differences(LEFT, LEFT | invented, {path: damaged})


def test_a_file_of_a_checkpoint_is_known_by_its_step(tmp_path):
  for path in ("run/checkpoints/12/state/d/x", "run/metrics.jsonl"):
    key = left_behind.key_of(tmp_path / path, tmp_path)
    assert key == {"run/metrics.jsonl": path}.get(path, "run/checkpoints/12")
