"""Lines that are on the disk before anybody is told of them."""

import pytest

from serving.lines import append_line, read_lines
from training.errors import UserError


def test_a_line_that_was_cut_off_is_dropped_and_the_next_is_whole(tmp_path):
  path = str(tmp_path / "rows.jsonl")
  assert read_lines(path, {"id": str}) == []
  append_line(path, {"id": "a"})
  with open(path, "ab") as file:
    file.write(b'{"id": "b')  # a kill came
  assert read_lines(path, {"id": str}) == [{"id": "a"}]
  append_line(path, {"id": "c"})
  assert read_lines(path, {"id": str}) == [{"id": "a"}, {"id": "c"}]


def test_a_line_that_is_none_of_ours_is_named(tmp_path):
  path = str(tmp_path / "rows.jsonl")
  append_line(path, {"id": "a"})
  append_line(path, {"id": 3})
  with pytest.raises(UserError, match="rows.jsonl line 2 is damaged: its 'id' is missing"):
    read_lines(path, {"id": str})
