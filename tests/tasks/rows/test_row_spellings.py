import pytest

from tasks.rows import row_spellings
from tasks.rows.prompt_keys import shared_prompts, split_by_prompt
from tasks.rows.row import BadRows, Problem, messages_of, prompt_of, text_of
from tasks.rows.row_names import RowNames

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
    ("A: one", "A: two", "A:", (" one", " two")),
    ("a-X", "a-Y", "a-", ("X", "Y")),
    ("天空是蓝色的", "天空是绿色的", "天空是", ("蓝色的", "绿色的")),  # no spaces: any end is one
  ],
)
def test_an_implicit_prompt_is_the_common_prefix(chosen, rejected, prompt, responses):
  row = parse(chosen=chosen, rejected=rejected)
  assert (row.prompt, row.responses) == (prompt, responses)


@pytest.mark.parametrize(
  "record",
  [
    {"system": "", "system_prompt": None, "tools": [], "images": None, "history": []},
    {"tools": "[]", "choices": [None, ""], "context": " ", "functions": {"a": None}},
    {"context": "hi", "choices": ["hi"], "input": "hi"},  # the prompt says it
    {"question": "hi", "messages": [HI], "conversations": [HI, answer("good")]},
  ],
)
def test_what_is_empty_or_said_already_is_no_problem(record):
  row = parse(prompt="hi", chosen="good", rejected="bad", **record)
  assert (row.prompt, row.responses) == ("hi", ("good", "bad"))


def test_keys_that_are_not_read_are_known():
  row = parse(prompt="hi", chosen="good", rejected="bad", source="x", tools=[], id=None)
  assert row.unread == ("source", "tools")


def test_what_is_ignored_is_left_out():
  names = RowNames.of(ignore="tools, tool_calls,images")
  call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
  image = {"type": "image_url", "image_url": {"url": "u"}}
  seen = {"role": "user", "content": [image, {"type": "text", "text": "what?"}]}
  record = {"tools": [1], "images": ["a"], "messages": [HI, call, seen], "answer": "a"}
  row = row_spellings.parse(record, "f row 1", names)
  assert row.prompt == (("user", "hi"), ("assistant", ""), ("user", "what?"))
  assert row.unread == ("tools", "images")


def test_named_keys_are_read_and_no_others():
  record = {"q": "hi", "prompt": "other", "win": "good", "lose": "bad", "rejected": "x"}
  names = RowNames.of(prompt="q", chosen="win", rejected="lose")
  row = row_spellings.parse(record, "f row 1", names)
  assert (row.prompt, row.responses, row.scores) == ("hi", ("good", "bad"), (1.0, 0.0))
  assert row.unread == ("prompt", "rejected")
  group = {"q": [HI], "outs": ["good", "bad"], "stars": [4, 1]}
  names = RowNames.of(prompt="q", responses="outs", scores="stars")
  assert row_spellings.parse(group, "", names).scores == (4.0, 1.0)
  names = RowNames.of(scores="liked")
  assert row_spellings.parse({"prompt": "p", "output": "a", "liked": False}, "", names).scores == (
    0,
  )
  liked = {"messages": [HI, answer("a")], "liked": 0.25, "label": True}
  assert row_spellings.parse(liked, "", names).scores == (0.25,)
  names = RowNames.of(prompt="problem", answer="gold")
  assert row_spellings.parse({"problem": "6 * 7", "gold": "42"}, "", names).answer == "42"
  with pytest.raises(BadRows, match="no 'gold', which data.answer names. The row has 'problem'$"):
    row_spellings.parse({"problem": "6 * 7"}, "", names)


def test_a_prompt_that_some_answer_begins_with_is_not_repeated():
  for prompt, better, worse in (
    ("Hello", "Hello there", "Hello you"),
    ("Hi there", "Hi there! Yes", "Hi there, no"),
    ("What is 2+2?", "4", "What is 2+2? 5"),
  ):
    assert parse(prompt=prompt, chosen=better, rejected=worse).responses == (better, worse)


def test_what_a_policy_wrote_is_left_to_the_letter():
  """Feedback holds what was drawn, special tokens and all, with its log-probs."""
  turns = [HI, answer("<|im_end|>"), {"role": "user", "content": "[/INST] again"}]
  pair = {"preferred_response": "a<|im_end|>", "dispreferred_response": " b</s>"}
  row = parse(messages=turns, logps=[[-1.0], [-2.0]], **pair)
  assert row.responses == ("a<|im_end|>", " b</s>") and len(row.prompt) == 3


def test_text_in_brackets_is_text():
  row = parse(prompt='[{"a": 1}] is what?', chosen="[1, 2]", rejected="{x}")
  assert row.prompt == '[{"a": 1}] is what?' and row.responses == ("[1, 2]", "{x}")


def test_problems_are_counted_by_kind():
  problems = [Problem(f"f row {n}", f"response {n} is empty") for n in range(1, 8)]
  assert str(BadRows(problems, good=0)) == "all 7 rows: response 1 is empty"
  assert str(BadRows(problems, good=1)) == "7 of 8 rows (first: f row 1): response 1 is empty"
  assert str(BadRows(problems)) == "7 rows (first: f row 1): response 1 is empty"
  one = [Problem("f row 9", "no prompt")]
  assert str(BadRows(problems + one, 1)).splitlines() == [
    "7 of 9 rows (first: f row 1): response 1 is empty",
    "f row 9: no prompt",
  ]


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
    ({"promt": "p", "chosen": "a", "rejected": "b"}, "'promt' looks like one"),
    ({"promt": "p", "responses": ["a", "b"], "scores": [1, 0]}, "did you mean 'prompt'"),
    ({"prompt": "p", "respones": ["a", "b"]}, "did you mean 'responses'"),
    ({"prompt": "p", "responses": ["a", "b"], "score": [1, 0]}, "config.data.scores=score reads"),
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
    ({"chosen": "abcX", "rejected": "abcY"}, "ends inside a word: 'abc'"),
    ({"chosen": "It is 3.14", "rejected": "It is 3.2"}, "ends inside a word: 'It is 3.'"),
    ({"chosen": "I don't", "rejected": "I don's"}, "ends inside a word"),
    ({"chosen": "cafe\u0301", "rejected": "cafe\u0300"}, "ends inside a word"),
    ({"chosen": "q a", "rejected": [HI, answer("b")]}, "only 'chosen' is text"),
    # hints
    ({"prompt": "p", "chosen": "a", "rejected_response": "b"}, "data.rejected=rejected_response"),
    ({"prompt": "p", "rejected_response": "b"}, "no 'chosen_response' beside it$"),
    ({"prompt": "p", "nonchosen": "a", "rejected": "b"}, "no 'chosen' beside it$"),
    ({"prompt": "p", "win": "a", "lose": "b"}, "--config.data.chosen=win reads 'win' as it"),
    ({"prompt": "p", "answer": ""}, "'answer' is empty$"),
    ({"prompt": "p", "note": "x"}, "The row has 'prompt', 'note'$"),
    ({"prompt": "p", "solution": "x"}, "--config.data.answer=solution"),
    ({"prompt": "p", "answer": 7}, "'answer' is a number, not text"),
    # what belongs to the prompt
    ({"prompt": "p", "question": "q", "answer": "a"}, "'prompt' and 'question' say different"),
    ({"prompt": "p", "messages": [HI], "chosen": "a", "rejected": "b"}, "data.prompt=messages"),
    (
      {"prompt": "p", "context": "c", "answer": "a"},
      "data.ignore=context leaves it out, .*prompt=",
    ),
    ({"prompt": "p", "input": "c", "answer": "a"}, "data.ignore=input"),
    ({"prompt": "plus", "input": "us", "answer": "a"}, "data.ignore=input"),  # a part of a word
    ({"prompt": "p", "choices": ["x", "y"], "answer": "a"}, "data.ignore=choices"),
    ({"prompt": "p", "history": "c", "answer": "a"}, "data.ignore=history"),
    ({"messages": TURNS, "history": [["a", "b"]], "answer": "a"}, "stands beside messages"),
    ({"prompt": "p", "tools": [{"name": "f"}], "answer": "a"}, "'tools' belongs to the prompt"),
    ({"prompt": "p", "images": ["a.jpg"], "answer": "a"}, "data.ignore=images"),
    ({"prompt": [HI | {"tool_calls": [1]}], "answer": "a"}, "has 'tool_calls', which is not read"),
    (
      {"prompt": "p", "chosen": [answer("a") | {"reasoning_content": "r"}], "rejected": "b"},
      "reaso",
    ),
    ({"prompt": [{"role": "user", "content": [{"type": "image"}]}], "answer": "a"}, "'image'"),
    ({"prompt": [HI], "system": 7, "answer": "a"}, "'system' is a number, not text"),
    ({"prompt": [{"role": "system", "content": "x"}, HI], "system": "y", "answer": "a"}, "differ"),
    # one response
    ({"prompt": "p", "completion": "a", "label": "good"}, "'label' is text, not true or false"),
    ({"prompt": "p", "completion": "a", "label": 3}, "'label' is a number, not true or false"),
    ({"prompt": "p", "completion": "a", "response": "b"}, "both 'completion' and 'response'"),
    ({"prompt": "p", "completion": " ", "label": True}, "response 1 is empty"),
    ({"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}, "stepwise supervision"),
    # numbers and characters
    ({"prompt": "p", "responses": ["a", "b"], "scores": [10**5000, 1]}, "score 1 is a number of"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "logps": [[-(10**5000)], [-1]]}, "at most 0"),
    (
      {"prompt": "p\ud800", "answer": "a"},
      "the prompt holds half a character .U.D800, character 2",
    ),
    ({"prompt": "p", "chosen": "a", "rejected": "b\udfff"}, "response 2 holds half a character"),
    # texts that are something else
    ({"prompt": "<|im_start|>user\np", "answer": "a"}, "rendered in a chat template already"),
    ({"prompt": "p", "chosen": "a<|im_end|>", "rejected": "b"}, "response 1 is rendered .*im_end"),
    ({"prompt": "[INST] p [/INST]", "answer": "a"}, "/INST"),
    ({"prompt": "<start_of_turn>user\np", "answer": "a"}, "start_of_turn"),
    ({"prompt": "<bos>p", "answer": "a"}, "<bos>"),
    ({"prompt": "<|start|>user<|message|>p", "answer": "a"}, "<.start.>"),
    (
      {"messages": [answer("<|eot_id|>"), HI], "answer": "a"},
      "message 1 of the prompt is rendered",
    ),
    ({"prompt": "p", "system": "<|system|>", "answer": "a"}, "message 1 of the prompt is rendered"),
    ({"prompt": "p", "chosen": "a</s>", "rejected": "b"}, "ends with '</s>'"),
    ({"prompt": '[{"role": "user", "content": "q', "answer": "a"}, "begins like messages in JSON"),
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
