import os

import numpy as np
import pytest

from tasks.files import row_table
from tasks.rows.row import Problem, Row

ROWS = [
  Row("é \ud800 alone", ("a\n", "b"), (1.0, None), where="x row 1"),
  Row((("system", "s"), ("user", "u")), ("a", "b"), (1.0, 0.0), ((-0.5, -1.0), (-2.0,))),
  Row("What?", answer="42", where="x row 4", unread=("id", "source")),
  Row("Same start", (" a", " b"), (1.0, 0.0), implicit=True),
]
PROBLEM = Problem("x row 2", "no 'rejected' beside it")


def found():
  return [ROWS[0], (PROBLEM,), *ROWS[1:]]


def test_what_is_written_is_read_a_row_at_a_time(tmp_path):
  folder = str(tmp_path / "table")
  row_table.write(folder, iter(found()))
  assert os.listdir(tmp_path) == ["table"]
  stored, kept = row_table.read(folder), row_table.in_memory(found())
  for table in (stored, kept):
    assert [table.rows[i] for i in range(4)] == ROWS and len(table) == 4
    assert table.problems == (PROBLEM,)
    assert table.sizes.tolist() == [2, 2, 0, 2]
    assert table.answered.tolist() == [False, False, True, False]
    assert table.known.tolist() == [False, True, False, False]
    assert table.unread == {"id": 1, "source": 1}
  assert (stored.keys == kept.keys).all() and len(np.unique(stored.keys)) == 4


def test_many_rows(tmp_path):
  rows = [Row(f"p{i}", answer=str(i)) for i in range(2500)]
  row_table.write(str(tmp_path / "t"), iter(rows))
  table = row_table.read(str(tmp_path / "t"))
  assert len(table.rows) == 2500 and [table.rows[i] for i in (0, 999, 1000, 2499)] == [
    rows[i] for i in (0, 999, 1000, 2499)
  ]


def test_a_table_that_was_not_written_whole_is_not_there(tmp_path):
  def broken():
    yield ROWS[0]
    raise RuntimeError("a full disk")

  with pytest.raises(RuntimeError):
    row_table.write(str(tmp_path / "t"), broken())
  assert not os.listdir(tmp_path)


def test_no_rows_at_all(tmp_path):
  row_table.write(str(tmp_path / "t"), iter([(PROBLEM,)]))
  for table in (row_table.read(str(tmp_path / "t")), row_table.in_memory([(PROBLEM,)])):
    assert len(table) == 0 and len(table.rows) == 0 and table.problems == (PROBLEM,)
