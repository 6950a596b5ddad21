"""The totals of a run, which lie beside its checkpoints, whatever becomes of its metrics."""

import os

import pytest

from tests.training.stopped_runs import train_until
from tests.training.test_staleness import SMALL
from training.checking import config_files
from training.records.files import read_json
from training.run import train


@pytest.mark.parametrize("hurt", ["deleted", "emptied", "torn", "filled with NULs", "a digit"])
def test_a_resumed_run_has_the_right_totals_without_its_metrics(tmp_path, hurt):
  config, said = config_files.load("configs/grpo.py", SMALL), []
  train_until(4, config, tmp_path / "run", tmp_path)
  path = tmp_path / "run" / "metrics.jsonl"
  whole = path.read_bytes()
  hurts = {
    "torn": whole[:-400],  # of the row after the checkpoint, which is written anew
    "filled with NULs": whole + b"\0" * 99 + b"\n",
    "a digit": whole.replace(b'"step": 2', b'"step": 0'),
  }
  path.write_bytes(hurts.get(hurt, b""))
  if hurt == "deleted":
    os.remove(path)
  run = train(config, str(tmp_path / "run"), root=str(tmp_path), report=said.append)
  assert run.latest["rollouts"] == 6 * 8 * 4
  assert run.latest["tokens"] > 0 and run.latest["train/seconds"] > 0
  warnings = " ".join(row.get("warning", "") for row in said)
  assert ("1 lines are no rows" in warnings) == (hurt == "filled with NULs")
  is_changed = hurt in ("deleted", "emptied", "a digit")
  assert ("metrics.jsonl: its rows up to step 3 are not those" in warnings) == is_changed


def test_a_finished_run_that_lost_its_status_has_it_again(tmp_path):
  config, path = config_files.load("configs/grpo.py", SMALL), tmp_path / "run" / "status.json"
  train(config, str(tmp_path / "run"), root=str(tmp_path))
  before = read_json(str(path))
  os.remove(path)
  train(config, str(tmp_path / "run"), root=str(tmp_path))
  again = read_json(str(path))
  assert before["metrics"]["eval/reward"] is not None
  assert {name: again[name] for name in ("state", "step", "steps", "metrics")} == {
    name: before[name] for name in ("state", "step", "steps", "metrics")
  }
