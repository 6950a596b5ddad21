"""Rows that people wrote become groups. No model here."""

import json
import os

import numpy as np
import pytest

from rounds import feedback_rows
from rounds.deployment import Waiting
from serving.feedback import row_of
from tasks.rewards.reward import Reward
from tasks.task import Task
from training.errors import UserError


def answers(texts=("cba", "abc")):
  """What a service remembers of two answers."""
  encode = Task("t", (), (), Reward()).tokenizer.encode
  ids = [[*encode(text.replace("\N{REPLACEMENT CHARACTER}", "?")), 1] for text in texts]
  return {
    "messages": [{"role": "user", "content": "abc>"}],
    "texts": list(texts),
    "tokens": ids,
    "logps": [[-0.5 - k] * len(one) for k, one in enumerate(ids)],
    "finished": [True, True],
    "policy": "rounds/001",
    "temperature": 1.0,
    "top_p": 1.0,
  }


@pytest.fixture
def folder(tmp_path):
  return str(tmp_path / "feedback")


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


def test_what_the_policy_wrote_keeps_its_tokens_and_log_probs(folder):
  shown = answers()
  shown["tokens"][0] = shown["tokens"][0][:-1]  # cut off: no end
  shown["logps"][0], shown["finished"][0] = shown["logps"][0][:-1], False
  written(folder, "a.jsonl", row_of("one", shown, [1.0, 0.0]))
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


def test_what_the_policy_wrote_need_not_be_a_text_of_the_tokenizer(folder):
  shown = answers(texts=("\N{REPLACEMENT CHARACTER}ba", "abc"))
  shown["tokens"][0][0] = 0  # it drew the padding
  written(folder, "a.jsonl", row_of("one", shown, [1.0, 0.0]))
  feedback = feedback_rows.take(folder, {}, 1, held_out=set())
  task = Task("t", (), (), Reward())
  (row,), known = feedback_rows.groups_of(
    feedback, task, group_size=2, max_tokens=6, max_prompt_tokens=64
  )
  assert known.all() and row["responses"][0][:4].tolist() == shown["tokens"][0]


def test_tokens_of_another_tokenizer_are_not_taken_for_the_texts(folder):
  shown = answers()
  shown["tokens"], shown["logps"] = [[400, 2], [77]], [[-1.0, -1.0], [-1.0]]
  written(folder, "a.jsonl", row_of("one", shown, [1.0, 0.0]))
  feedback = feedback_rows.take(folder, {}, 1, held_out=set())
  with pytest.raises(UserError, match="row 1: response 1 has 2 log-probs, and 4 tokens"):
    task = Task("t", (), (), Reward())
    feedback_rows.groups_of(feedback, task, group_size=2, max_tokens=6, max_prompt_tokens=64)
