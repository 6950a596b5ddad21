"""The totals of a run, which lie beside its checkpoints, whatever becomes of its metrics."""

import os

import pytest

from tests.training.test_staleness import SMALL
from training.checking import config_files
from training.run import train


@pytest.mark.parametrize("hurt", ["deleted", "emptied", "torn", "filled with NULs", "a digit"])
def test_a_resumed_run_has_the_right_totals_without_its_metrics(tmp_path, hurt):
  config, said = config_files.load("configs/grpo.py", SMALL), []

  def stop(row):
    if row.get("step") == 4:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    train(config, str(tmp_path / "run"), root=str(tmp_path), report=stop)
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
