"""The formats of docs/data.md, a row of each: what becomes of it."""

import json
import pathlib

import pytest

from tasks.rows import key_table, row_spellings
from tasks.rows.row import BadRows, prompt_of
from tasks.rows.row_names import RowNames

Q = "Why does bread dough rise?"
GOOD, BAD = "The yeast makes gas, and the dough holds it.", "The oven pulls it up."
SYSTEM = "You answer in one short sentence."
PAIR = (Q, (GOOD, BAD), (1.0, 0.0), "")
WITH_SYSTEM = ((("system", SYSTEM), ("user", Q)), (GOOD, BAD), (1.0, 0.0), "")


def user(text):
  return {"role": "user", "content": text}


def assistant(text):
  return {"role": "assistant", "content": text}


def of_vertex(role, text):
  return {"role": role, "parts": [{"text": text}]}


def from_value(speaker, text):
  return {"from": speaker, "value": text}


# The format, as docs/data.md has it -> rows in it, each with what it should be.
FORMATS = {
  "TRL, pairs": [
    ({"prompt": Q, "chosen": GOOD, "rejected": BAD}, PAIR),
    ({"prompt": [user(Q)], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]}, PAIR),
    (
      {"chosen": [user(Q), assistant(GOOD)], "rejected": [user(Q), assistant(BAD)]},
      PAIR,
    ),
  ],
  "TRL, unpaired": [
    ({"prompt": Q, "completion": GOOD, "label": True}, (Q, (GOOD,), (1.0,), "")),
    (
      {"prompt": [user(Q)], "completion": [assistant(BAD)], "label": False},
      (Q, (BAD,), (0.0,), ""),
    ),
  ],
  "TRL, prompt and completion": [
    ({"prompt": Q, "completion": GOOD}, (Q, (GOOD,), (1.0,), "")),
    ({"messages": [user(Q), assistant(GOOD)]}, (Q, (GOOD,), (1.0,), "")),
  ],
  "OpenAI, Together, Fireworks": [
    (
      {
        "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [assistant(GOOD)],
        "non_preferred_output": [assistant(BAD)],
      },
      PAIR,
    ),
    (
      {
        "input": {"messages": [{"role": "system", "content": SYSTEM}, user(Q)]},
        "preferred_output": [assistant(GOOD)],
        "non_preferred_output": [assistant(BAD)],
      },
      WITH_SYSTEM,
    ),
  ],
  "Vertex AI": [
    (
      {
        "systemInstruction": {"role": "system", "parts": [{"text": SYSTEM}]},
        "contents": [of_vertex("user", Q)],
        "completions": [
          {"score": 1, "completion": of_vertex("model", GOOD)},
          {"score": 0, "completion": of_vertex("model", BAD)},
        ],
      },
      WITH_SYSTEM,
    ),
    ({"contents": [of_vertex("user", Q), of_vertex("model", GOOD)]}, (Q, (GOOD,), (1.0,), "")),
  ],
  "NeMo": [
    (
      {"prompt": Q, "chosen_response": GOOD, "rejected_response": BAD, "chosen_reward": 3},
      PAIR,
    ),
    (
      {
        "context": [user(Q)],
        "completions": [
          {"rank": 0, "completion": [assistant(GOOD)]},
          {"rank": 1, "completion": [assistant(BAD)]},
        ],
      },
      (Q, (GOOD, BAD), (0.0, -1.0), ""),
    ),
  ],
  "verl": [
    (
      {
        "data_source": "gsm8k",
        "prompt": [user(Q)],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "72"},
        "extra_info": {"index": 0, "split": "train"},
      },
      (Q, (), (), "72"),
    ),
    (
      {"prompt": [user(Q)], "responses": [GOOD, BAD], "rewards": [0.5, -1]},
      (Q, (GOOD, BAD), (0.5, -1.0), ""),
    ),
  ],
  "open-instruct": [
    ({"messages": [user(Q)], "ground_truth": "72", "dataset": "gsm8k"}, (Q, (), (), "72")),
  ],
  "argilla, distilabel": [
    (
      {"system": SYSTEM, "input": Q, "chosen": GOOD, "rejected": BAD, "generations": [GOOD, BAD]}
      | {"rating": [9.0, 1.0]},
      WITH_SYSTEM,
    ),
    (
      {"instruction": Q, "generations": [GOOD, BAD], "ratings": [5, 1]},
      (Q, (GOOD, BAD), (5.0, 1.0), ""),
    ),
    ({"instruction": Q, "chosen_response": GOOD, "rejected_response": BAD}, PAIR),
  ],
  "Axolotl": [
    ({"system": SYSTEM, "input": Q, "chosen": GOOD, "rejected": BAD}, WITH_SYSTEM),
    ({"system": "", "prompt": Q, "chosen": GOOD, "rejected": BAD}, PAIR),
    ({"messages": [user(Q)], "chosen": assistant(GOOD), "rejected": assistant(BAD)}, PAIR),
  ],
  "LLaMA-Factory, Alpaca": [
    ({"instruction": Q, "input": "", "chosen": GOOD, "rejected": BAD}, PAIR),
    (
      {"instruction": "Sum up.", "input": "A text.", "output": GOOD, "history": [["hi", "yes?"]]},
      ((("user", "hi"), ("assistant", "yes?"), ("user", "Sum up.\nA text.")), (GOOD,), (1.0,), ""),
    ),
    (
      {"instruction": Q, "input": "", "output": BAD, "kto_tag": False},
      (Q, (BAD,), (0.0,), ""),
    ),
  ],
  "LLaMA-Factory, ShareGPT": [
    (
      {
        "conversations": [from_value("human", Q)],
        "chosen": from_value("gpt", GOOD),
        "rejected": from_value("gpt", BAD),
        "system": SYSTEM,
        "tools": "[]",
      },
      WITH_SYSTEM,
    ),
    (
      {"conversations": [from_value("human", Q), from_value("gpt", BAD)], "kto_tag": False},
      (Q, (BAD,), (0.0,), ""),
    ),
  ],
  "orca_dpo_pairs": [
    ({"system": SYSTEM, "question": Q, "chosen": GOOD, "rejected": BAD}, WITH_SYSTEM),
  ],
  "Nectar": [
    (
      {
        "prompt": f"\n\nHuman: {Q}\n\nAssistant: ",
        "answers": [
          {"answer": BAD, "model": "a", "rank": 2.0},
          {"answer": f" {GOOD}", "model": "b", "rank": 1.0},
        ],
      },
      (Q, (BAD, GOOD), (-2.0, -1.0), ""),
    ),
  ],
  "HelpSteer": [
    ({"prompt": Q, "response": GOOD, "helpfulness": 3, "verbosity": 1}, (Q, (GOOD,), (3.0,), "")),
    (
      {"prompt": Q, "response_1": BAD, "response_2": GOOD, "preference_strength": 2},
      (Q, (BAD, GOOD), (0.0, 1.0), ""),
    ),
    (
      {"context": [user(Q)], "response1": GOOD, "response2": BAD, "overall_preference": -1},
      PAIR,
    ),
    (
      {"context": [user(Q)], "response1": GOOD, "response2": BAD, "overall_preference": 0},
      (Q, (GOOD, BAD), (0.5, 0.5), ""),
    ),
  ],
  "UltraFeedback": [
    (
      {
        "instruction": Q,
        "completions": [
          {"response": GOOD, "model": "a", "overall_score": 7.5},
          {"response": BAD, "model": "b", "overall_score": 2.0},
        ],
      },
      (Q, (GOOD, BAD), (7.5, 2.0), ""),
    ),
    (
      {
        "prompt": Q,
        "prompt_id": "1",
        "chosen": [user(Q), assistant(GOOD)],
        "rejected": [user(Q), assistant(BAD)],
        "messages": [user(Q), assistant(GOOD)],
        "score_chosen": 8.0,
      },
      PAIR,
    ),
  ],
  "UltraInteract": [
    (
      {"task": "Coding", "trajectory": [from_value("user", Q)], "chosen": GOOD, "rejected": BAD},
      PAIR,
    ),
  ],
  "HH-RLHF": [
    (
      {
        "chosen": f"\n\nHuman: {Q}\n\nAssistant: {GOOD}",
        "rejected": f"\n\nHuman: {Q}\n\nAssistant: {BAD}",
      },
      PAIR,
    ),
    (
      {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "chosen": f" {GOOD}", "rejected": f" {BAD}"},
      PAIR,
    ),
  ],
  "GSM8K": [({"question": Q, "answer": "72"}, (Q, (), (), "72"))],
}


def read(record, **names):
  row = row_spellings.parse(record, "f row 1", RowNames.of(**names))
  return row.prompt, row.responses, row.scores, row.answer


@pytest.mark.parametrize(
  ("record", "expected"),
  [case for cases in FORMATS.values() for case in cases],
  ids=[name for name, cases in FORMATS.items() for _ in cases],
)
def test_a_format_is_read_as_the_docs_say(record, expected):
  assert read(record) == expected
  assert read(json.loads(json.dumps(record)) | {"other": None}) == expected  # Parquet's gaps


def test_the_docs_list_these_formats():
  page = (pathlib.Path(__file__).parents[3] / "docs" / "data.md").read_text()
  table = page.partition("| format |")[2].partition("\n\n")[0]
  listed = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
  assert listed == list(FORMATS)


def test_every_spelling_of_the_table_is_in_a_format():
  text = json.dumps(list(FORMATS.values()))
  seen = {spelling.keys[0] for spelling in key_table.TABLE if f'"{spelling.keys[0]}": ' in text}
  known = {spelling.keys[0] for spelling in key_table.TABLE if spelling.source != "the same"}
  own = {"preferred_response", "score", "reward", "system_instruction"}  # other tests'
  assert known - seen <= own


# --- the same pairs in each spelling ------------------------------------------------------------

PAIRS = [
  ("Which planet has rings?", "Saturn has rings of ice.", "Mars, as far as I remember."),
  ("What is 6 times 7?", "It is 42.", "It is 48."),
  ("Name a tool to drive nails.", "A hammer.", "A spoon will do."),
  ("Is the whale a fish?", "No, it is a mammal.", "Yes, it lives in the sea."),
  ("How do I boil an egg?", "Eight minutes in boiling water.", "Microwave it whole."),
  ("What does 'brevity' mean?", "Shortness of speech.", "A kind of bravery."),
  ("List two primes.", "2 and 3.", "1 and 4."),
  ("Where is Oslo?", "In Norway.", "In Sweden, near the lake."),
  ("Translate 'Hund'.", "Dog.", "Hand, I think."),
  ("Who wrote Faust?", "Goethe.", "Schiller did, in 1900."),
  ("Why is the sky blue?", "Air scatters blue light most.", "It mirrors the sea."),
  ("Continue: one, two,", "three", "five"),
  ("Give me a colour.", "Red.", "Loud."),
  ("How many legs has a spider?", "Eight.", "Six, like all insects."),
  ("Was ist 2 + 2?", "Vier.", "Fünf, glaube ich."),
  ("Say 'hello' in French.", "Bonjour.", "Hola."),
  ("Should I lie to a friend?", "Rarely; tell me more.", "Always."),
  ("Write a haiku's first line.", "Old pond, a frog jumps", "Once upon a midnight dreary"),
  ("What is DNS?", "It finds the address of a name.", "A kind of hard disk."),
  ("Sort 3, 1, 2.", "1, 2, 3", "3, 2, 1"),
]
SPELLINGS = {
  "TRL": lambda q, a, b: {"prompt": q, "chosen": a, "rejected": b},
  "TRL, conversations": lambda q, a, b: {
    "chosen": [user(q), assistant(a)],
    "rejected": [user(q), assistant(b)],
  },
  "messages as JSON": lambda q, a, b: {
    "prompt": json.dumps([user(q)]),
    "chosen": json.dumps([assistant(a)]),
    "rejected": json.dumps([assistant(b)]),
  },
  "messages as Python prints them": lambda q, a, b: {
    "chosen": str([user(q), assistant(a)]),
    "rejected": str([user(q), assistant(b)]),
  },
  "dialogues": lambda q, a, b: {
    "chosen": f"\n\nHuman: {q}\n\nAssistant: {a}",
    "rejected": f"\n\nHuman: {q}\n\nAssistant: {b}",
  },
  "a dialogue before": lambda q, a, b: {
    "prompt": f"Human: {q}\n\nAssistant:",
    "chosen": f" {a}",
    "rejected": f" {b}",
  },
  "OpenAI": lambda q, a, b: {
    "input": {"messages": [user(q)]},
    "preferred_output": [assistant(a)],
    "non_preferred_output": [assistant(b)],
  },
  "Vertex": lambda q, a, b: {
    "contents": [of_vertex("user", q)],
    "completions": [
      {"score": 1, "completion": of_vertex("model", a)},
      {"score": 0, "completion": of_vertex("model", b)},
    ],
  },
  "NeMo": lambda q, a, b: {"prompt": q, "chosen_response": a, "rejected_response": b},
  "argilla": lambda q, a, b: {"instruction": q, "chosen_response": a, "rejected_response": b},
  "Axolotl": lambda q, a, b: {"input": q, "chosen": a, "rejected": b},
  "LLaMA-Factory": lambda q, a, b: {"instruction": q, "input": "", "chosen": a, "rejected": b},
  "ShareGPT": lambda q, a, b: {
    "conversations": [from_value("human", q)],
    "chosen": from_value("gpt", a),
    "rejected": from_value("gpt", b),
  },
  "orca": lambda q, a, b: {"system": "", "question": q, "chosen": a, "rejected": b},
  "HelpSteer3": lambda q, a, b: {
    "context": [user(q)],
    "response1": a,
    "response2": b,
    "overall_preference": -2,
  },
  "UltraInteract": lambda q, a, b: {
    "trajectory": [from_value("user", q)],
    "chosen": a,
    "rejected": b,
  },
  "a group": lambda q, a, b: {"prompt": q, "responses": [a, b], "scores": [1, 0]},
  "our own": lambda q, a, b: {
    "messages": [user(q)],
    "preferred_response": a,
    "dispreferred_response": b,
  },
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_same_pairs_are_the_same_groups_in_each_spelling(spelling):
  assert [read(spelling(*pair)) for pair in PAIRS] == [
    (q, (a, b), (1.0, 0.0), "") for q, a, b in PAIRS
  ]


def test_a_repeated_prompt_is_cut_off_the_responses():
  rows = [read({"prompt": q, "chosen": f"{q} {a}", "rejected": f"{q} {b}"}) for q, a, b in PAIRS]
  assert rows == [(q, (f" {a}", f" {b}"), (1.0, 0.0), "") for q, a, b in PAIRS]


@pytest.mark.parametrize(
  "key", ["query", "context", "problem", "Prompt", "promt", "user_input", "Question", "text"]
)
def test_another_prompt_column_is_never_passed_over(key):
  """It would leave the responses' common first letters as the prompt."""
  for q, a, b in PAIRS:
    record = {key: q, "chosen": f"The {a}", "rejected": f"The {b}"}
    with pytest.raises(BadRows, match=f"'{key}' looks like one: --config.data.prompt={key}"):
      read(record)
    assert read(record, prompt=key) == (q, (f"The {a}", f"The {b}"), (1.0, 0.0), "")


def test_sequences_of_objects_may_be_objects_of_sequences():
  """As Hugging Face's datasets store some of them in Parquet."""
  asked = {"conversations": {"from": ["human"], "value": [Q]}}
  pair = {key: {"from": ["gpt"], "value": [t]} for key, t in (("chosen", GOOD), ("rejected", BAD))}
  assert read(asked | pair) == PAIR
  group = {"answer": [GOOD, BAD], "model": ["a", "b"], "rank": [1.0, 2.0]}
  assert read(asked | {"answers": group}) == (Q, (GOOD, BAD), (-1.0, -2.0), "")


def test_what_is_ignored_is_no_prompt_either():
  record = {"text": Q, "chosen": GOOD, "rejected": "The oven."}
  assert read(record, ignore="text")[:2] == ("The", (GOOD[3:], " oven."))


def test_a_conversation_is_one_in_every_spelling():
  turns = [("system", SYSTEM), ("user", "hi"), ("assistant", "yes?"), ("user", Q)]
  names = {"system": "system", "user": "human", "assistant": "gpt"}
  chat = [{"role": role, "content": text} for role, text in turns]
  expected = (prompt_of(chat), (GOOD, BAD), (1.0, 0.0), "")
  pair = {"chosen": GOOD, "rejected": BAD}
  dialogue = f"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: {Q}\n\nAssistant:"
  for record in (
    {"messages": chat} | pair,
    {"prompt": json.dumps(chat)} | pair,
    {"conversations": [from_value(names[role], text) for role, text in turns]} | pair,
    {"system_prompt": SYSTEM, "messages": chat[1:]} | pair,
    {"system": SYSTEM, "prompt": dialogue} | pair,
    {"system": SYSTEM, "instruction": Q, "history": [["hi", "yes?"]]} | pair,
    {"input": {"messages": chat}, "preferred_output": assistant(GOOD)}
    | {"non_preferred_output": assistant(BAD)},
  ):
    assert read(record) == expected
