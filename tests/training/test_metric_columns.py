"""Rows as columns say what the rows say."""

import json
import math

import numpy as np
import pytest

from training.errors import UserError
from training.records import metric_columns
from training.records import rows as row_files
from training.records.metric_columns import Columns
from training.records.run_folder import RunFolder

ROWS = [
  {"step": 0, "eval/reward": 0.25},
  {"step": 1, "train/loss": 1.5, "rollouts": 64},
  {"step": 2, "train/loss": None, "rollouts": 128, "eval/reward": 0.5},
  {"step": 3, "train/loss": 2.0, "rollouts": None, "said": "words"},
  {"step": 3, "train/loss": 10**400},
]


def test_columns_are_the_rows():
  columns = Columns(ROWS)
  assert len(columns) == 5 and columns.steps.tolist() == [0, 1, 2, 3, 3]
  assert columns.names == ["step", "eval/reward", "train/loss", "rollouts", "said"]
  assert columns.known == {"step", "eval/reward", "train/loss", "rollouts"}
  assert columns.where("train/loss").tolist() == [1, 2, 3, 4]
  assert columns.where("eval/reward").tolist() == [0, 2]  # in order, though other rows lie between
  np.testing.assert_equal(columns.values("train/loss"), [1.5, math.nan, 2.0, math.nan])
  np.testing.assert_equal(columns.at("rollouts", np.arange(4)), [math.nan, 64, 128, math.nan])
  assert len(columns.where("nothing")) == len(columns.values("nothing")) == 0
  assert np.isnan(columns.at("nothing", np.arange(5))).all()
  assert list(columns)[:3] == ROWS[:3] and columns[-2] == ROWS[3] | {"said": None}
  assert type(columns[1]["rollouts"]) is int and type(columns[1]["train/loss"]) is float


def test_no_rows():
  assert len(Columns()) == 0 and list(Columns()) == [] and Columns().names == []
  assert metric_columns.read("nowhere.jsonl")[1] == 0


def written(path, lines):
  path.write_bytes(b"".join(line + b"\n" for line in lines))
  return str(path)


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_a_file_in_blocks_is_the_same_rows(block, tmp_path, monkeypatch):
  monkeypatch.setattr(metric_columns, "_AT_ONCE", block)
  path = written(tmp_path / "a.jsonl", [json.dumps(row).encode() for row in ROWS])
  with open(path, "ab") as file:
    file.write(b'{"step": 4, "train/lo')  # being written
  columns, broken = metric_columns.read(path)
  assert broken == 0 and list(columns) == list(Columns(ROWS))
  rows, lines = row_files.read_rows(path)
  assert rows == ROWS and lines == []


BROKEN = [
  *(b"", b"\0\0\0", b"{", b"[1]", b"3", b"null", b'{"loss": 1}', b'{"step": "1"}'),
  *(b'{"step": true}', b'{"step": %d}' % 2**63),
  *(b'{"step": 1} {"step": 2}', b'{"step": 1},{"step": 2}', b"\xff", b"[" * 100_000),
]


@pytest.mark.parametrize("line", BROKEN, ids=range(len(BROKEN)))
def test_lines_that_are_no_rows_are_counted(line, tmp_path):
  path = written(tmp_path / "metrics.jsonl", [b'{"step": 1}', line, b'{"step": 2}'])
  columns, broken = metric_columns.read(path)
  assert columns.steps.tolist() == [1, 2] and broken == 1
  assert row_files.read_rows(path) == ([{"step": 1}, {"step": 2}], [line])
  with pytest.raises(UserError, match="1 of its lines are no rows"):
    metric_columns.of_run(str(tmp_path))


def test_the_first_and_the_last_step_of_a_long_file(tmp_path):
  rows = [{"step": step, "text": f"{step} {i}"} for step in (0, 5, 10) for i in range(3)]
  lines = [json.dumps(row).encode() for row in rows]
  path = written(tmp_path / "a.jsonl", [*lines[:2], b"broken", b'{"step": 0, "tex', *lines[2:]])
  assert row_files.read_ends(path) == (rows[:3], rows[-3:])
  one = written(tmp_path / "b.jsonl", lines[:3])
  assert row_files.read_ends(one) == (rows[:3], rows[:3])
  assert row_files.read_ends(str(tmp_path / "none.jsonl")) == ([], [])
  unlike = written(tmp_path / "c.jsonl", [b'{"text": "a", "step": 7}', b'{"step":8}'])
  assert row_files.read_ends(unlike) == ([{"text": "a", "step": 7}], [{"step": 8}])


def test_dropping_rows_keeps_the_lines_as_they_were_written(tmp_path):
  run = RunFolder(str(tmp_path))
  for row in ROWS[:4]:
    run.append_metrics(row)
  before = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
  run.truncate(2)
  assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(before[:3])
