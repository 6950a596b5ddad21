import pytest

from tasks.rows import row_spellings
from tasks.rows.prompt_keys import shared_prompts, split_by_prompt
from tasks.rows.row import BadRows, messages_of, prompt_of, text_of

HI = {"role": "user", "content": "hi"}
TURNS = [HI, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "2+2"}]
CONVERSATION = (("user", "hi"), ("assistant", "yes?"), ("user", "2+2"))


def answer(text):
  return {"role": "assistant", "content": text}


def parse(**record):
  return row_spellings.parse(record, "f row 1")


@pytest.mark.parametrize(
  "record",
  [
    {"prompt": "hi", "responses": ["good", "bad"], "scores": [1, 0]},
    {"messages": [HI], "responses": ["good", "bad"], "scores": [1.0, 0.0]},
    {
      "messages": [HI],
      "responses": [
        {"response": "good", "score": 1, "writer": "x"},
        {"response": "bad", "score": 0.0},
      ],
    },
    {"messages": [HI], "preferred_response": "good", "dispreferred_response": "bad"},
    {"prompt": "hi", "chosen": "good", "rejected": "bad"},
    {"prompt": [HI], "chosen": [answer("good")], "rejected": [answer("bad")]},
    {"prompt": "hi", "chosen": [HI, answer("good")], "rejected": [HI, answer("bad")]},
    {"chosen": [HI, answer("good")], "rejected": [HI, answer("bad")]},
    {
      "chosen": "\n\nHuman: hi\n\nAssistant: good",
      "rejected": "\n\nHuman: hi\n\nAssistant: bad",
    },
    {"prompt": "hi", "chosen": "good", "rejected": "bad", "messages": None, "prompt_id": 7},
  ],
)
def test_every_spelling_is_the_same_row(record):
  row = parse(**record)
  assert (row.prompt, row.responses, row.scores) == ("hi", ("good", "bad"), (1.0, 0.0))
  assert row.where == "f row 1"


@pytest.mark.parametrize(
  "record",
  [
    {"messages": TURNS, "preferred_response": "4", "dispreferred_response": "5"},
    {"chosen": [*TURNS, answer("4")], "rejected": [*TURNS, answer("5")]},
    {
      "chosen": "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: 2+2\n\nAssistant: 4",
      "rejected": "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: 2+2\n\nAssistant: 5",
    },
  ],
)
def test_conversations(record):
  row = parse(**record)
  assert (row.prompt, row.responses) == (CONVERSATION, ("4", "5"))
  assert messages_of(row.prompt) == TURNS
  assert prompt_of(TURNS) == CONVERSATION and "assistant: yes?" in text_of(CONVERSATION)


@pytest.mark.parametrize(
  ("chosen", "rejected", "prompt", "responses"),
  [  # what trl.extract_prompt gives: the space before the difference is the responses'
    ("The sky is blue.", "The sky is green.", "The sky is", (" blue.", " green.")),
    ("Q: 2+2?\nA: 4", "Q: 2+2?\nA: 5", "Q: 2+2?\nA:", (" 4", " 5")),
    ("abcX", "abcY", "abc", ("X", "Y")),
  ],
)
def test_an_implicit_prompt_is_the_common_prefix(chosen, rejected, prompt, responses):
  row = parse(chosen=chosen, rejected=rejected)
  assert (row.prompt, row.responses) == (prompt, responses)


def test_what_a_turn_begins_with_alike_is_no_part_of_the_prompt():
  row = parse(chosen="\n\nHuman: a\n\nAssistant: I can", rejected="\n\nHuman: a\n\nAssistant: I am")
  assert (row.prompt, row.responses) == ("a", ("I can", "I am"))


def test_scores_may_be_missing_and_log_probs_are_kept():
  row = parse(prompt="p", responses=["a", "b"], scores=[None, 2], logps=[[-1, -0.5], [-3]])
  assert row.scores == (None, 2.0) and row.logps == ((-1.0, -0.5), (-3.0,))


def test_a_prompt_with_an_answer_is_a_group_of_none():
  row = parse(question="6 * 7?", answer="42")
  assert (row.prompt, row.responses, row.answer) == ("6 * 7?", (), "42")


@pytest.mark.parametrize(
  ("record", "says"),
  [
    ({"prompt": "p"}, "no response"),
    ({"prompt": "p", "responses": []}, "no response"),
    ({"prompt": "p", "responses": ["a"], "scores": [1]}, "K=1"),
    ({"prompt": "p", "chosen": "a", "rejected": "a"}, "same text"),
    ({"prompt": "p", "chosen": "a", "rejected": " "}, "response 2 is empty"),
    ({"prompt": "p", "chosen": "a"}, "no 'rejected'"),
    ({"prompt": "p", "chosn": "a", "rejected": "b"}, "'chosn': did you mean 'chosen'"),
    ({"promt": "p", "chosen": "a", "rejected": "b"}, None),  # "ab" share no prefix
    ({"promt": "p", "responses": ["a", "b"], "scores": [1, 0]}, "did you mean 'prompt'"),
    ({"prompt": "p", "respones": ["a", "b"]}, "did you mean 'responses'"),
    ({"prompt": "p", "responses": ["a", "b"], "score": [1, 0]}, "did you mean 'scores'"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1]}, "1 scores, for 2 responses"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1, float("nan")]}, "not a finite"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1e39, 1]}, "not a finite"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1, "0"]}, "score 2 is text"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [None, None]}, "no response has a score"),
    ({"prompt": "p", "responses": ["a", 7], "scores": [1, 0]}, "response 2 is a number"),
    ({"prompt": "p", "responses": "ab", "scores": [1, 0]}, "not a list"),
    ({"prompt": "p", "responses": ["a", "b", "a"], "scores": [1, 0, 0]}, "another score"),
    ({"prompt": 7, "responses": ["a", "b"], "scores": [1, 0]}, "'prompt' is a number"),
    ({"prompt": "", "responses": ["a", "b"], "scores": [1, 0]}, "'prompt' is empty"),
    ({"messages": [], "responses": ["a", "b"], "scores": [1, 0]}, "no messages"),
    ({"messages": [{"role": "me", "content": ""}], "chosen": "a", "rejected": "b"}, "role 'me'"),
    ({"messages": [HI, answer("x")], "chosen": "a", "rejected": "b"}, "assistant's message"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "logps": [[-1]]}, "each of 2"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "logps": [[1], []]}, "at most 0"),
    ({"prompt": "p", "responses": ["a", "b"], "chosen": "a", "rejected": "b"}, "once"),
    ({"prompt": "hi", "chosen": [HI], "rejected": [HI, answer("b")]}, "not one message"),
    ({"chosen": "x", "rejected": "y"}, "nothing in common"),
    ({"chosen": [HI, answer("b")], "rejected": [HI, answer("b")]}, "same text"),
  ],
)
def test_what_is_wrong_is_said(record, says):
  with pytest.raises(BadRows, match=says):
    parse(**record)


def test_all_that_is_wrong_with_a_row_is_said_at_once():
  with pytest.raises(BadRows) as bad:
    parse(prompt="", responses=["a", 3], scores=["x", float("inf")])
  assert len(bad.value.problems) == 4
  assert all(problem.where == "f row 1" for problem in bad.value.problems)


@pytest.mark.parametrize("record", [[1, 2], "text", None, 3])
def test_what_is_no_object_is_no_row(record):
  with pytest.raises(BadRows, match="not an object"):
    row_spellings.parse(record, "f row 1")


def rows(*prompts):
  return [
    row_spellings.parse({"prompt": p, "chosen": f"a{i}", "rejected": "b"}, f"f row {i}")
    for i, p in enumerate(prompts)
  ]


def test_a_split_is_by_prompt_and_does_not_depend_on_the_order_of_rows():
  some = rows(*(f"p{i % 10}" for i in range(30)))
  train, held_out = split_by_prompt(some, 3)
  assert len(train) == 21 and len(held_out) == 9
  assert not {row.prompt for row in train} & {row.prompt for row in held_out}
  assert {row.prompt for row in split_by_prompt(some[::-1], 3)[1]} == {r.prompt for r in held_out}
  with pytest.raises(ValueError, match="10 distinct prompts"):
    split_by_prompt(some, 10)


def test_prompts_of_both_splits_are_found():
  problems = shared_prompts(rows("a", "b", "c"), rows("b"))
  assert [problem.where for problem in problems] == ["f row 1"]
