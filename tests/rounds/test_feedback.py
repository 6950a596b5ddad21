"""Offers and choices are on the disk, whatever happens, and become groups. No model here."""

import json
import os

import numpy as np
import pytest

from rounds import feedback_rows
from rounds.deployment import Waiting
from rounds.feedback_store import FeedbackStore, Refused
from tasks.files import row_files
from tasks.rewards.reward import Reward
from tasks.task import Task
from training.errors import UserError


def offer(name="a", left=0, texts=("cba", "abc"), comparable=True):
  encode = Task("t", (), (), Reward()).tokenizer.encode
  ids = [[*encode(text.replace("\N{REPLACEMENT CHARACTER}", "?")), 1] for text in texts]
  return {
    "id": name,
    "messages": [{"role": "user", "content": "abc>"}],
    "responses": list(texts),
    "tokens": ids,
    "logps": [[-0.5 - k] * len(one) for k, one in enumerate(ids)],
    "finished": [True, True],
    "left": left,
    "comparable": comparable,
    "policy": "rounds/001",
  }


@pytest.fixture
def folder(tmp_path):
  return str(tmp_path / "feedback")


@pytest.fixture
def store(folder):
  return FeedbackStore(folder)


def rows_in(folder):
  rows, problems = row_files.read(os.path.join(folder, "choices.jsonl"))
  assert problems == []
  return rows


def records_in(folder):
  with open(os.path.join(folder, "choices.jsonl")) as file:
    return [json.loads(line) for line in file]


def reopened(store):
  """A new process's store: the old one's lock falls with it."""
  os.close(store._lock_file)
  return FeedbackStore(store.folder)


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("left", "choice", "better"), [(0, "left", 0), (1, "left", 1), (1, "right", 0)]
)
def test_a_choice_is_a_row_with_the_better_response_first(store, folder, left, choice, better):
  store.add_offer(offer(left=left))
  store.choose("a", choice)
  (row,) = rows_in(folder)
  texts = ("cba", "abc")
  assert row.prompt == "abc>" and row.scores == (1.0, 0.0)
  assert row.responses == (texts[better], texts[1 - better])
  assert row.logps is not None and row.logps[0][0] == -0.5 - better
  (record,) = records_in(folder)
  assert record["shown_left"] == (0 if choice == "left" else 1)
  assert record["policy"] == "rounds/001" and record["time"] > 1e9


def test_a_tie_is_a_row_of_equal_scores(store, folder):
  store.add_offer(offer(left=1))
  store.choose("a", "tie")
  (row,) = rows_in(folder)
  assert row.scores == (0.5, 0.5) and row.responses == ("abc", "cba")
  assert row.logps is not None and row.logps[0][0] == -1.5


# --- what happens ---------------------------------------------------------------------------------


def test_killed_between_offer_and_choice_the_offer_is_still_there(store, folder):
  store.add_offer(offer())
  store = reopened(store)
  store.choose("a", "left")
  assert len(rows_in(folder)) == reopened(store).count == 1


def test_the_same_choice_twice_is_one_row_and_another_is_refused(store, folder):
  store.add_offer(offer())
  store.choose("a", "left")
  store.choose("a", "left")
  store = reopened(store)
  store.choose("a", "left")
  with pytest.raises(Refused, match="You chose already: left"):
    store.choose("a", "right")
  assert len(rows_in(folder)) == 1


def test_a_line_that_was_cut_off_is_dropped_and_the_next_is_whole(store, folder):
  store.add_offer(offer("a"))
  store.add_offer(offer("b"))
  store.choose("a", "left")
  with open(os.path.join(folder, "choices.jsonl"), "ab") as file:
    file.write(b'{"messages": [{"ro')
  store = reopened(store)
  store.choose("b", "right")
  assert [row.responses[0] for row in rows_in(folder)] == ["cba", "abc"]


def test_the_conversation_goes_on_from_what_was_chosen(store):
  store.add_offer(offer("a", left=1))
  with pytest.raises(Refused, match="Choose one of the two responses first"):
    store.messages_after("a")
  store.choose("a", "right")
  assert [m["content"] for m in store.messages_after("a")] == ["abc>", "cba"]
  store.add_offer(offer("b", left=1))
  store.choose("b", "tie")
  assert store.messages_after("b")[-1] == {"role": "assistant", "content": "abc"}
  assert store.messages_after(None) == []
  with pytest.raises(Refused, match="No such pair"):
    store.messages_after("z")


def test_where_there_is_nothing_to_compare_there_is_no_choice(store):
  store.add_offer(offer(texts=("abc", "abc"), comparable=False))
  with pytest.raises(Refused, match="nothing to choose"):
    store.choose("a", "left")
  assert store.messages_after("a")[-1]["content"] == "abc"


def test_one_process_collects(store, folder):
  with pytest.raises(UserError, match="another process is collecting feedback there"):
    FeedbackStore(folder)


# --- what rounds take of it -----------------------------------------------------------------------


def written(folder, name, *records):
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, name), "w") as file:
    file.writelines(json.dumps(record) + "\n" for record in records)


def pair(prompt):
  return {"prompt": prompt, "chosen": "ab", "rejected": "ba"}


def test_rows_are_taken_once_and_in_order(folder):
  written(folder, "a.jsonl", pair("1"), pair("2"))
  written(folder, "b.jsonl", pair("3"), pair("4"))
  first = feedback_rows.take(folder, {}, 3, held_out=set())
  assert [row.prompt for row in first.rows] == ["1", "2", "3"]
  assert first.taken == {"a.jsonl": 2, "b.jsonl": 1}
  written(folder, "a.jsonl", pair("1"), pair("2"), pair("5"))
  second = feedback_rows.take(folder, first.taken, 2, held_out=set())
  assert [row.prompt for row in second.rows] == ["5", "4"]
  with pytest.raises(Waiting, match="0 of 1 new ones"):
    feedback_rows.take(folder, second.taken, 1, held_out=set())
  with pytest.raises(Waiting):
    feedback_rows.take(folder + "-not-there", {}, 1, held_out=set())


def test_rows_on_held_out_prompts_are_passed_over_and_counted(folder):
  written(folder, "a.jsonl", pair("1"), pair("2"), pair("3"))
  found = feedback_rows.take(folder, {}, 2, held_out={"1"})
  assert [row.prompt for row in found.rows] == ["2", "3"]
  assert found.held_out == 1 and found.taken == {"a.jsonl": 3}


def test_bad_rows_are_all_named_and_a_line_being_written_is_left_for_later(folder):
  written(
    folder, "a.jsonl", {"prompt": "1", "chosen": "ab"}, pair("2"), {"prompt": "", "answer": "x"}
  )
  with open(os.path.join(folder, "a.jsonl"), "a") as file:
    file.write('{"prompt": "hal')
  with pytest.raises(UserError) as error:
    feedback_rows.take(folder, {}, 1, held_out=set())
  assert "a.jsonl row 1: no 'rejected'" in str(error.value)
  assert "a.jsonl row 3" in str(error.value) and "row 4" not in str(error.value)


def test_a_file_that_shrank_is_refused(folder):
  written(folder, "a.jsonl", pair("1"))
  with pytest.raises(UserError, match="1 rows, and 2 were trained on"):
    feedback_rows.take(folder, {"a.jsonl": 2}, 1, held_out=set())


def test_what_the_policy_wrote_keeps_its_tokens_and_log_probs(store, folder):
  shown = offer(left=1)
  shown["tokens"][0] = shown["tokens"][0][:-1]  # cut off: no end
  shown["logps"][0], shown["finished"][0] = shown["logps"][0][:-1], False
  store.add_offer(shown)
  store.choose("a", "right")
  written(folder, "dropped.jsonl", pair("ab>"))
  feedback = feedback_rows.take(folder, {}, 2, held_out=set())
  task = Task("t", (), (), Reward())
  rows, known = feedback_rows.groups_of(
    feedback, task, group_size=2, max_tokens=6, max_prompt_tokens=64
  )
  assert known.tolist() == [True, False]
  own, dropped = rows
  assert own["rewards"].tolist() == [1, 0] and own["finished"].tolist() == [False, True]
  assert own["mask"].sum(axis=-1).tolist() == [3, 4]
  np.testing.assert_allclose(own["logps"][0], [-0.5] * 3 + [0] * 3)
  assert task.tokenizer.decode(own["responses"][0][:3]) == "cba"
  assert dropped["mask"].sum(axis=-1).tolist() == [3, 3]  # its end included


def test_what_the_policy_wrote_need_not_be_a_text_of_the_tokenizer(store, folder):
  shown = offer(texts=("\N{REPLACEMENT CHARACTER}ba", "abc"))
  shown["tokens"][0][0] = 0  # it drew the padding
  store.add_offer(shown)
  store.choose("a", "left")
  feedback = feedback_rows.take(folder, {}, 1, held_out=set())
  task = Task("t", (), (), Reward())
  (row,), known = feedback_rows.groups_of(
    feedback, task, group_size=2, max_tokens=6, max_prompt_tokens=64
  )
  assert known.all() and row["responses"][0][:4].tolist() == shown["tokens"][0]


def test_tokens_of_another_tokenizer_are_not_taken_for_the_texts(store, folder):
  shown = offer()
  shown["tokens"], shown["logps"] = [[400, 2], [77]], [[-1.0, -1.0], [-1.0]]
  store.add_offer(shown)
  store.choose("a", "left")
  feedback = feedback_rows.take(folder, {}, 1, held_out=set())
  with pytest.raises(UserError, match="row 1: response 1 has 2 log-probs, and 4 tokens"):
    task = Task("t", (), (), Reward())
    feedback_rows.groups_of(feedback, task, group_size=2, max_tokens=6, max_prompt_tokens=64)
