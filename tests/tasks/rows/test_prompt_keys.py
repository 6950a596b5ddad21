import numpy as np

from tasks.rows.prompt_keys import key_of, keys_of, some, split_by_prompt
from tasks.rows.row import Row, text_of


def rows(*prompts, implicit=False):
  return [Row(prompt, implicit=implicit) for prompt in prompts]


def kinds(*prompts, implicit=True):
  """A letter for each prompt, the same where the keys are."""
  keys = keys_of(rows(*prompts, implicit=implicit)).tolist()
  return "".join("abcdef"[list(dict.fromkeys(keys)).index(key)] for key in keys)


def test_white_space_around_and_unicode_spelling_make_no_other_prompt():
  same = ("Wie heißt Zoë?", " Wie heißt Zoë?\n", "Wie heißt Zoe\u0308?")
  assert len({key_of(prompt) for prompt in same}) == 1
  talks = [(("system", "s"), ("user", text)) for text in ("hi", "hi ", "\thi")]
  assert len({key_of(talk) for talk in talks}) == 1
  other = ("Wie  heißt Zoë?", "wie heißt Zoë?", (("user", "hi"), ("assistant", "hi")))
  assert len({key_of(prompt) for prompt in (*same, *other)}) == 4


def test_explicit_prompts_are_apart_though_one_begins_with_another():
  assert kinds("What is 1?", "What is 1? And 2?", "What is", implicit=False) == "abc"


def test_implicit_prompts_that_go_on_into_the_responses_are_one():
  assert (
    kinds("What is it?\n", "What is it?\nThe", "What is it?\nA fine", "What is that?\n") == "aaab"
  )
  # A whole sentence, or two, of both responses.
  assert kinds("Why is the sky blue?", "Why is the sky blue? It is light.") == "aa"
  # A short common beginning is no question.
  assert (
    kinds("Q: 1", "Q: What is the capital of France?", "Q: What is the capital of Spain?") == "abc"
  )


def test_which_are_held_out_depends_on_their_texts_alone():
  keys = keys_of(rows(*"abcdefgh"))
  chosen = some(keys, 3)
  assert set(some(keys[::-1], 3).tolist()) == set(chosen.tolist()) and len(chosen) == 3
  assert len(set(some(keys[:4], 3).tolist()) & set(chosen.tolist())) >= 1
  assert len(some(keys, 100)) == 8


def test_rows_of_one_question_are_held_out_together():
  some_rows = rows("a", "a ", "b", "c", "\nb")
  train, held_out = split_by_prompt(some_rows, 1)
  assert {text_of(row.prompt).strip() for row in train}.isdisjoint(
    text_of(row.prompt).strip() for row in held_out
  )
  assert len(train) + len(held_out) == 5


def test_keys_have_all_their_bytes():
  keys = keys_of(rows(*map(str, range(2000))))
  assert all(len(key) == 16 for key in keys.tolist()) and len(np.unique(keys)) == 2000
