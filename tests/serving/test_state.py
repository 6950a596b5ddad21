"""Jobs, answers, feedback and files are kept whole, once, and when the disk is full. No model."""

import io
import json
import os
import sqlite3

import pytest

from serving.errors import ApiError
from serving.feedback import FeedbackRows
from serving.files import Files
from serving.state import State, is_full
from tasks.files import row_files


@pytest.fixture
def state(tmp_path):
  return State(str(tmp_path / "service.sqlite"))


def answers(*texts, logps=True):
  return {
    "messages": [{"role": "user", "content": "abc>"}],
    "texts": list(texts),
    "tokens": [[1] * (len(text) + 1) for text in texts],
    "logps": [[-0.5] * (len(text) + 1) for text in texts] if logps else None,
    "finished": [True] * len(texts),
    "policy": "base",
    "temperature": 1.0,
    "top_p": 1.0,
  }


def job(name="ftjob-1"):
  return {"id": name, "status": "queued", "events": [], "about": {}}


# --- the file -----------------------------------------------------------------------------------


def test_a_job_of_a_key_that_came_before_is_that_job(state):
  assert state.add_job(job("a"), "key")["id"] == "a"
  assert state.add_job(job("b"), "key")["id"] == "a"
  assert state.add_job(job("c"), None)["id"] == "c"
  assert [one["id"] for one in state.jobs()] == ["a", "c"]


def test_a_key_is_looked_up(state):
  state.add_job(job("a"), "key")
  assert state.job_of_key("key")["id"] == "a" and state.job_of_key("other") is None


def test_a_changed_job_keeps_its_place_and_its_events(state, tmp_path):
  for name in "abc":
    state.add_job(job(name), None)
  state.change_job("b", "It runs.", status="running")
  state.change_job("b", "It goes on.", status="queued")
  again = State(str(tmp_path / "service.sqlite"))
  assert [one["id"] for one in again.jobs("queued")] == ["a", "b", "c"]
  assert [event["message"] for event in again.jobs()[1]["events"]] == ["It runs.", "It goes on."]


def test_only_the_latest_answers_are_kept(state, monkeypatch):
  monkeypatch.setattr("serving.state.ANSWERS", 3)
  for n in range(5):
    state.add_answers(str(n), {"n": n})
  assert [bool(state.answers(str(n))) for n in range(5)] == [False, False, True, True, True]


def test_a_full_file_takes_no_job_and_loses_none(state):
  state.add_job(job("a"), None)
  (pages,) = state._connection.execute("pragma page_count").fetchone()
  state._connection.execute(f"pragma max_page_count = {pages}")
  with pytest.raises(sqlite3.OperationalError) as full:
    state.add_job(job("b") | {"about": "x" * 100_000}, None)
  assert is_full(full.value)
  assert [one["id"] for one in state.jobs()] == ["a"]
  state._connection.execute(f"pragma max_page_count = {pages + 100}")
  state.add_job(job("c"), None)
  assert [one["id"] for one in state.jobs()] == ["a", "c"]


# --- feedback -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
  return str(tmp_path / "feedback")


@pytest.fixture
def feedback(folder, state):
  return FeedbackRows(folder, state)


def rows_in(folder):
  rows, problems = row_files.read(os.path.join(folder, "service.jsonl"))
  assert problems == []
  return rows


def test_the_best_answer_is_a_row_of_scores_with_log_probs(feedback, folder, state):
  state.add_answers("c", answers("cba", "abc", "b"))
  found = feedback.add({"completion": "c", "best": 2})
  assert found["scores"] == [0, 0, 1]
  (row,) = rows_in(folder)
  assert row.prompt == "abc>" and row.scores == (0, 0, 1) and row.responses == ("cba", "abc", "b")
  assert [len(logps) for logps in row.logps or ()] == [4, 4, 2]


def test_scores_may_be_left_out_but_not_of_all(feedback, folder, state):
  state.add_answers("c", answers("x", "y", "z"))
  assert feedback.add({"completion": "c", "scores": [0.5, None, -1]})["scores"] == [0.5, None, -1]
  assert rows_in(folder)[0].scores == (0.5, None, -1)


def test_the_same_again_is_one_row_and_something_else_is_refused(feedback, folder, state):
  state.add_answers("c", answers("x", "y"))
  for _ in range(2):
    feedback.add({"completion": "c", "best": 0})
  again = FeedbackRows(folder, state)
  assert again.add({"completion": "c", "scores": [1, 0]})["scores"] == [1, 0]
  with pytest.raises(ApiError) as refused:
    again.add({"completion": "c", "best": 1})
  assert refused.value.status == 409 and len(rows_in(folder)) == again.count == 1


def test_answers_of_one_text_have_one_score_and_empty_ones_are_in_no_row(feedback, folder, state):
  state.add_answers("c", answers("x", "", "x", "y"))
  assert feedback.add({"completion": "c", "best": 0})["scores"] == [1, 0, 1, 0]
  (row,) = rows_in(folder)
  assert row.responses == ("x", "x", "y") and row.scores == (1, 1, 0)
  assert FeedbackRows(folder, state).add({"completion": "c", "best": 2})["scores"] == [1, 0, 1, 0]


def test_an_answer_that_nobody_scored_has_the_score_of_its_text(feedback, folder, state):
  state.add_answers("c", answers("x", "y", "x", "z"))
  found = feedback.add({"completion": "c", "scores": [1, 0, None, None]})
  assert found["scores"] == [1, 0, 1, None]
  (row,) = rows_in(folder)
  assert row.scores == (1, 0, 1, None)


@pytest.mark.parametrize(
  ("texts", "body", "status", "param"),
  [
    (("x", "x"), {"best": 0}, 409, None),
    (("x", ""), {"best": 0}, 409, None),
    (("x", "y"), {}, 400, None),
    (("x", "y"), {"best": 0, "scores": [1, 0]}, 400, None),
    (("x", "y"), {"best": 2}, 400, "best"),
    (("x", "y"), {"best": True}, 400, "best"),
    (("x", "y"), {"scores": [1]}, 400, "scores"),
    (("x", "y"), {"scores": [1, "a"]}, 400, "scores"),
    (("x", "y"), {"scores": [1, None]}, 400, "scores"),
    (("x", "y"), {"best": 0, "more": 1}, 400, "more"),
  ],
)
def test_feedback_that_says_nothing_is_refused(feedback, folder, state, texts, body, status, param):
  state.add_answers("c", answers(*texts))
  with pytest.raises(ApiError) as refused:
    feedback.add({"completion": "c"} | body)
  assert (refused.value.status, refused.value.param or None) == (status, param)
  assert not os.path.exists(os.path.join(folder, "service.jsonl"))


def test_feedback_on_a_completion_that_is_not_here(feedback):
  with pytest.raises(ApiError) as refused:
    feedback.add({"completion": "chatcmpl-1", "best": 0})
  assert refused.value.status == 404 and "n of 2 or more" in str(refused.value)


def test_a_full_disk_refuses_feedback_and_leaves_no_half_row(tmp_path, state):
  folder = tmp_path / "full"
  folder.mkdir()
  feedback = FeedbackRows(str(folder), state)
  os.symlink("/dev/full", folder / "service.jsonl")
  state.add_answers("c", answers("x", "y"))
  with pytest.raises(ApiError) as refused:
    feedback.add({"completion": "c", "best": 0})
  assert refused.value.status == 507 and feedback.count == 0
  os.remove(folder / "service.jsonl")
  feedback.add({"completion": "c", "best": 1})
  assert rows_in(str(folder))[0].scores == (0, 1)


# --- files --------------------------------------------------------------------------------------

PAIR = {"prompt": "a>", "chosen": "b", "rejected": "c"}
OPENAI = {
  "input": {"messages": [{"role": "user", "content": "a>"}]},
  "preferred_output": [{"role": "assistant", "content": "b"}],
  "non_preferred_output": [{"role": "assistant", "content": "c"}],
}
GROUP = {
  "messages": [{"role": "user", "content": "a>"}],
  "responses": [{"response": text, "score": score} for score, text in enumerate("bcd")],
}


def upload(*records):
  return io.BytesIO(b"".join(json.dumps(record).encode() + b"\n" for record in records))


@pytest.fixture
def files(tmp_path):
  return Files(str(tmp_path / "files"))


@pytest.mark.parametrize(
  ("records", "most"), [((PAIR, PAIR), 2), ((OPENAI,), 2), ((GROUP, PAIR), 3)]
)
def test_a_file_in_any_spelling_is_kept(files, tmp_path, records, most):
  made = files.add(upload(*records), "my rows.jsonl", "fine-tune")
  assert made["status"] == "processed" and made["filename"] == "my rows.jsonl"
  assert "rows_file" not in made
  again = Files(str(tmp_path / "files")).get(made["id"])
  assert (again["rows"], again["most_responses"]) == (len(records), most)
  assert row_files.read(again["rows_file"])[1] == []
  assert [one["id"] for one in files.list()] == [made["id"]]
  assert files.delete(made["id"], "")["deleted"] and os.listdir(tmp_path / "files") == []


def test_a_folder_that_was_moved_has_its_files(files, tmp_path):
  made = files.add(upload(PAIR), "a.jsonl", "fine-tune")
  os.rename(tmp_path / "files", tmp_path / "moved")
  moved = Files(str(tmp_path / "moved"))
  assert os.path.exists(moved.get(made["id"])["rows_file"])


def test_a_file_that_goes_meanwhile_is_in_no_list(files, monkeypatch):
  made = files.add(upload(PAIR), "a.jsonl", "fine-tune")
  names = os.listdir(files._folder)
  files.delete(made["id"], "")
  monkeypatch.setattr(os, "listdir", lambda folder: names)
  assert files.list() == []


def test_all_problems_of_a_file_are_named_and_nothing_is_kept(files, tmp_path):
  rows = upload(PAIR, {"prompt": "a>"}, PAIR | {"chosen": ""}, {"x": 1})
  with pytest.raises(ApiError) as refused:
    files.add(rows, "bad.jsonl", "fine-tune")
  error = refused.value.body["error"]
  assert error["param"] == "file" and error["code"] == "invalid_rows"
  assert all(f"bad.jsonl row {n}" in error["message"] for n in (2, 3, 4))
  assert os.listdir(tmp_path / "files") == []


@pytest.mark.parametrize(
  ("content", "name", "purpose", "param"),
  [
    (b"", "a.jsonl", "fine-tune", "file"),
    (b"{", "a.jsonl", "fine-tune", "file"),
    (b"\x00\xff", "a.jsonl", "fine-tune", "file"),
    (b"PK", "a.zip", "fine-tune", "file"),
    (b"a", "a", "fine-tune", "file"),
    (b"a", "../../a.exe", "fine-tune", "file"),
    (b"{}", "a.jsonl", "batch", "purpose"),
  ],
)
def test_a_file_that_is_none_is_refused(files, tmp_path, content, name, purpose, param):
  with pytest.raises(ApiError) as refused:
    files.add(io.BytesIO(content), name, purpose)
  assert refused.value.param == param and os.listdir(tmp_path / "files") == []


@pytest.mark.parametrize("name", ["file-1", "../files", "file-../../x", "", "file-a.about"])
def test_a_file_that_is_not_here(files, name):
  with pytest.raises(ApiError) as refused:
    files.get(name)
  assert refused.value.status == 404


def test_an_upload_that_was_not_accepted_is_gone_after_a_kill(files, tmp_path):
  made = files.add(upload(PAIR), "a.jsonl", "fine-tune")
  (tmp_path / "files" / "file-half.rows.jsonl").write_text("{")
  again = Files(str(tmp_path / "files"))
  assert [one["id"] for one in again.list()] == [made["id"]]
  assert not (tmp_path / "files" / "file-half.rows.jsonl").exists()


def test_a_file_that_a_job_still_reads_stays(files):
  made = files.add(upload(PAIR), "a.jsonl", "fine-tune")
  with pytest.raises(ApiError) as refused:
    files.delete(made["id"], "ftjob-1")
  assert refused.value.status == 409 and files.get(made["id"])
