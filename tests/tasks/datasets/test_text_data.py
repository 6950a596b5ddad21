"""A data set for one run: kept when it is large, split by prompt, from several files."""

import json

import numpy as np
import pytest

from tasks import long_work
from tasks.datasets import row_cache, text_data
from tasks.datasets.text_rows import Limits
from tasks.rows.row import BadRows, text_of
from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER

LIMITS = Limits(group_size=2, max_tokens=6, max_prompt_tokens=8)


def pairs(count, prompt="p{}"):
  return [
    {"prompt": prompt.format(i), "chosen": f"good {i}", "rejected": "bad"} for i in range(count)
  ]


def write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(path)


def load(path, data_dir="", *, held_out=2, most_prompts=0, skip_bad_rows=False):
  text_data.load.cache_clear()
  return text_data.load(
    path,
    text_data.fingerprint(path),
    CHARACTER_TOKENIZER,
    LIMITS,
    scored=True,
    held_out=held_out,
    most_prompts=most_prompts,
    skip_bad_rows=skip_bad_rows,
    data_dir=str(data_dir),
  )


def all_of(data):
  every = range(len(data.train))
  arrays = (data.train.tokens(every), data.held_out)
  return data.train.rows(every), data.held_out.rows, data.problems, arrays


def test_what_is_kept_of_a_large_file_is_what_a_small_one_gives(tmp_path, monkeypatch):
  rows: list[dict] = [*pairs(30)]
  rows[4]["prompt"] = "much too long"
  rows[7]["rejected"] = None
  path = write(tmp_path / "pairs.jsonl", rows)
  small = load(path, tmp_path / "small", skip_bad_rows=True)
  assert not (tmp_path / "small").exists()
  monkeypatch.setattr(row_cache, "LARGE", 1)
  first = load(path, tmp_path, skip_bad_rows=True)
  monkeypatch.setattr(row_cache.row_files, "each", None)  # the second time no row is parsed
  monkeypatch.setattr(text_data.text_rows, "refused", None)  # and none is checked
  second = load(path, tmp_path, skip_bad_rows=True)
  monkeypatch.undo()
  for kept in (first, second):
    assert all_of(kept)[:3] == all_of(small)[:3]
    for x, y in zip(all_of(kept)[3], all_of(small)[3], strict=True):
      np.testing.assert_array_equal(x.responses, y.responses)
      np.testing.assert_array_equal(x.rewards, y.rewards)
  assert [str(problem) for problem in small.problems] == [
    "pairs.jsonl row 8: no 'rejected' beside it",
    "pairs.jsonl row 5: the prompt has 13 tokens, more than data.max_prompt_tokens=8",
  ]
  with pytest.raises(BadRows, match="row 8"):
    load(path, tmp_path)


def test_a_large_file_that_has_changed_is_read_anew(tmp_path, monkeypatch):
  monkeypatch.setattr(row_cache, "LARGE", 1)
  path = write(tmp_path / "pairs.jsonl", pairs(10))
  assert len(load(path, tmp_path).train) == 8
  write(tmp_path / "pairs.jsonl", pairs(12))
  assert len(load(path, tmp_path).train) == 10


def test_reading_tells_how_far_it_is(tmp_path):
  heard: list[tuple[str, int, int]] = []
  path = write(tmp_path / "pairs.jsonl", pairs(2500))
  with long_work.heard_by(lambda what, done, total: heard.append((what, done, total))):
    load(path, held_out=1)
  reading = [told for told in heard if told[0] == "reading pairs.jsonl"]
  assert len(reading) >= 3 and reading[-1][1] == reading[-1][2] > reading[0][1] > 0
  assert ("checking rows", 2500, 2500) in heard


def test_rows_of_one_prompt_are_held_out_together_white_space_aside(tmp_path):
  rows = pairs(40, "p{}") + pairs(40, "p{} ") + pairs(40, "\np{}")
  data = load(write(tmp_path / "pairs.jsonl", rows), held_out=10)
  trained, held_out = all_of(data)[:2]
  assert len(held_out) == 30 and len(trained) == 90 and data.prompts == 30
  held_out_texts = {text_of(row.prompt).strip() for row in held_out}
  assert held_out_texts.isdisjoint(text_of(row.prompt).strip() for row in trained)


def test_questions_that_two_responses_begin_with_are_held_out_together(tmp_path):
  """Chosen and rejected begin with the question, and often with a word or two of the answer."""
  rows = [
    {"chosen": f"{i}?\n{word} a{i}", "rejected": f"{i}?\n{word} b"}
    for i in range(10)
    for word in ("It is", "No", "I")
  ]
  path = write(tmp_path / "pairs.jsonl", rows)
  trained, held_out = all_of(load(path, held_out=3))[:2]
  assert len(held_out) == 9 and len(trained) == 21
  questions = [
    {text_of(row.prompt).partition("?")[0] for row in half} for half in (trained, held_out)
  ]
  assert questions[0].isdisjoint(questions[1])


def test_all_prompts_or_so_many(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs(50))
  assert len(load(path, held_out=5).train) == 45
  some = load(path, held_out=5, most_prompts=20)
  assert len(some.train) == 20 and some.prompts == 45


def test_files_of_several_splits_and_shards(tmp_path):
  for i in range(2):
    write(tmp_path / "data" / f"train-0000{i}-of-00002.jsonl", pairs(5, f"{i} {{}}"))
  write(tmp_path / "data" / "test.jsonl", pairs(3, "t{}") + pairs(1, "0 {} "))
  folder = text_data.locate(str(tmp_path / "data"), "")
  data = load(folder, held_out=4)
  trained, held_out = all_of(data)[:2]
  assert {row.prompt for row in held_out} == {"t0", "t1", "t2", "0 0 "}
  assert "0 0" not in {row.prompt for row in trained} and len(trained) == 9
  pattern = text_data.locate(str(tmp_path / "data" / "train-*.jsonl"), "")
  assert len(load(pattern, held_out=4).train) == 6
  before = text_data.fingerprint(pattern)
  write(tmp_path / "data" / "train-00001-of-00002.jsonl", pairs(6, "1 {}"))
  assert text_data.fingerprint(pattern) != before


def test_a_foreign_folder_is_no_data_set(tmp_path):
  (tmp_path / "dataset_info.json").write_text("{}")
  with pytest.raises(ValueError, match="no file of rows is there"):
    text_data.locate(str(tmp_path), "")
