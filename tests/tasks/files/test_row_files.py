import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from tasks.files import row_files
from tasks.files.record_formats import RowFileError
from tasks.rows.row import BadRows, Problem


def pair(i):
  return {"prompt": f"é {i}", "chosen": f"good {i}", "rejected": f"bad {i}"}


def write(path, lines):
  path.write_bytes(b"\n".join(lines) + b"\n")
  return str(path)


def pairs_as_lines(n):
  return [json.dumps(pair(i)).encode() for i in range(n)]


def test_the_kinds_of_file_hold_the_same_rows(tmp_path):
  lines, path = pairs_as_lines(5), tmp_path / "a.jsonl"
  write(path, [b"\xef\xbb\xbf" + lines[0], b"", *lines[1:]])  # a byte-order mark, a blank line
  with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
    file.write(b"\n".join(lines))
  table = pyarrow.Table.from_pylist([pair(i) for i in range(5)])
  pyarrow.parquet.write_table(table, tmp_path / "c.parquet")
  read = {}
  for name in ("a.jsonl", "b.jsonl.gz", "c.parquet"):
    rows, problems = row_files.read(str(tmp_path / name))
    assert not problems
    read[name] = [(row.prompt, row.responses, row.scores) for row in rows]
  assert read["a.jsonl"] == read["b.jsonl.gz"] == read["c.parquet"]
  assert len(read["a.jsonl"]) == 5 and read["a.jsonl"][4][0] == "é 4"


def test_parquet_columns_of_structs_and_gaps(tmp_path):
  records = [
    {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, None], "chosen": None},
    {"prompt": "q", "responses": None, "scores": None, "chosen": "only"},
  ]
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "x.parquet")
  rows, problems = row_files.read(str(tmp_path / "x.parquet"))
  assert rows[0].scores == (1.0, None)
  assert [str(problem) for problem in problems] == ["x.parquet row 2: no 'rejected' beside it"]


def test_all_problems_are_found_in_one_pass_with_their_rows(tmp_path):
  lines = pairs_as_lines(6)
  lines[1] = b'{"prompt": "p", "chosen": "a"'
  lines[2] = b'{"prompt": "\xff\xfe", "chosen": "a", "rejected": "b"}'
  lines[4] = b'{"prompt": "p", "responses": ["a"], "scores": [NaN]}'
  path = write(tmp_path / "x.jsonl", lines)
  rows, problems = row_files.read(path)
  assert [row.where for row in rows] == ["x.jsonl row 1", "x.jsonl row 4", "x.jsonl row 6"]
  assert [problem.where for problem in problems] == ["x.jsonl row 2", "x.jsonl row 3"] + [
    "x.jsonl row 5"
  ] * 2
  text = " ".join(problem.what for problem in problems)
  assert "not JSON" in text and "not UTF-8" in text and "finite" in text and "K=1" in text


def test_problems_are_shown_up_to_a_limit(tmp_path):
  path = write(tmp_path / "x.jsonl", [b"{}"] * 50)
  _, problems = row_files.read(path)
  shown = str(BadRows(problems)).splitlines()
  assert len(problems) == 100 and len(shown) == 2
  assert shown[0].startswith("50 rows (first: x.jsonl row 1): no prompt")
  kinds = [Problem("x.jsonl row 1", f"no {chr(97 + n)}") for n in range(22)]
  assert str(BadRows(kinds)).splitlines()[BadRows.SHOWN :] == ["... and 2 more problems"]
  row_files.list_bad_rows(str(tmp_path / "bad.jsonl"), problems)
  listed = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
  assert len(listed) == 100 and listed[0]["where"] == "x.jsonl row 1"


def test_a_file_that_was_cut_off_is_said_to_be(tmp_path):
  table = pyarrow.Table.from_pylist([pair(i) for i in range(2000)])
  pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
  whole = (tmp_path / "x.parquet").read_bytes()
  (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(RowFileError, match="cut off"):
    row_files.read(str(tmp_path / "x.parquet"))

  packed = gzip.compress(b"\n".join(pairs_as_lines(500)))
  (tmp_path / "x.jsonl.gz").write_bytes(packed[: len(packed) // 2])
  with pytest.raises(RowFileError, match="cut off"):
    row_files.read(str(tmp_path / "x.jsonl.gz"))

  (tmp_path / "x.jsonl").write_bytes(b"\n".join(pairs_as_lines(3))[:-10])
  rows, problems = row_files.read(str(tmp_path / "x.jsonl"))
  assert len(rows) == 2 and "cut off here" in problems[0].what


@pytest.mark.parametrize(("name", "content"), [("x.jsonl", b""), ("y.jsonl", b"\n \n")])
def test_an_empty_file_is_an_error(tmp_path, name, content):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(RowFileError, match="empty"):
    row_files.read(str(tmp_path / name))


def test_other_files_are_errors(tmp_path):
  (tmp_path / "x.doc").write_text("a,b")
  with pytest.raises(RowFileError, match=r"\.jsonl"):
    row_files.read(str(tmp_path / "x.doc"))
  with pytest.raises(RowFileError, match="no such file"):
    row_files.read(str(tmp_path / "x.jsonl"))


def test_damaged_text_in_parquet_is_an_error(tmp_path):
  column = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).view(pyarrow.string())
  table = pyarrow.table({"prompt": column, "chosen": ["a"], "rejected": ["b"]})
  pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
  with pytest.raises(RowFileError):
    row_files.read(str(tmp_path / "x.parquet"))
