import numpy as np
import pytest

from tasks import task_functions
from tasks.making import generated_task
from tasks.reasoning_gym_package import data_sets
from tasks.rows.row import text_of
from tasks.tokenizers.tokenizer import CHARACTERS, CharTokenizer, left_pad, right_pad


def reasoning_task(name, options=None, **about):
  return generated_task(task_functions.find(name, options), **about)


def words(options=None, **about):
  return reasoning_task(
    "spell_backward", options, train_prompts=300, evaluation_prompts=100, **about
  )


@pytest.mark.parametrize("name", ["spell_backward", "chain_sum"])
def test_no_evaluation_prompt_is_trained_on_and_none_comes_twice(name):
  task = reasoning_task(name, train_prompts=300, evaluation_prompts=100)
  prompts = [item.prompt for item in task.train + task.evaluation]
  assert len(set(prompts)) == len(prompts) == 400


def test_the_evaluation_prompts_do_not_depend_on_how_many_there_are_to_train_on():
  few = reasoning_task("spell_backward", train_prompts=10, evaluation_prompts=100)
  assert few.evaluation == words().evaluation


def test_the_answers_are_right():
  for item in words().train:
    assert item.answer == text_of(item.prompt).removesuffix(">")[::-1]
  for item in reasoning_task("chain_sum", train_prompts=300, evaluation_prompts=100).train:
    assert int(item.answer) == eval(text_of(item.prompt).removesuffix("="))


def test_a_response_without_end_of_sequence_gets_nothing_even_if_its_text_is_right():
  task = words()
  item = task.train[0]
  ids = np.array([[task.tokenizer.encode(item.answer)] * 2])
  rewards = task.rewards([item], ids, np.array([[True, False]]))
  assert rewards.tolist() == [[1, 0]]


def test_the_native_scorer_gives_partial_credit_beside_the_exact_match():
  task = words(reward="exact+scorer")
  item = task.train[0]
  nonsense = np.array([[task.tokenizer.encode(text_of(item.prompt).rstrip(">"))]])
  exact, scorer = task.reward_parts([item], nonsense, np.array([[True]]))[0, 0]
  assert task.reward_names == ("exact", "scorer")
  assert exact == 0 < scorer < 1
  assert task.rewards([item], nonsense, np.array([[True]])) == exact + scorer


def test_any_reasoning_gym_task_runs_by_name_with_its_own_question():
  task = reasoning_task("letter_counting", train_prompts=20, evaluation_prompts=5)
  assert "letter" in task.train[0].prompt
  assert task.train_prompts[0].shape == (20, task.max_prompt_tokens)


def test_too_few_distinct_prompts_is_an_error_that_counts_them():
  with pytest.raises(ValueError, match="has only .* distinct prompts"):
    reasoning_task(
      "chain_sum",
      {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1},
      train_prompts=5000,
      evaluation_prompts=5000,
    )


def test_refused_options_are_an_error():
  with pytest.raises(ValueError, match="refuses"):
    words({"min_word_len": 9, "max_word_len": 3})


def test_text_survives_the_tokenizer_and_ends_at_eos():
  tokenizer = CharTokenizer()
  ids = tokenizer.encode(CHARACTERS)
  assert len(set(ids)) == len(ids) == tokenizer.vocab_size - 2
  assert not {tokenizer.pad_id, tokenizer.eos_id} & set(ids)
  assert tokenizer.decode([*ids, tokenizer.eos_id, 5, 6]) == CHARACTERS
  with pytest.raises(ValueError, match="é"):
    tokenizer.encode("café")


def test_padding_goes_left_for_prompts_and_right_for_responses():
  ids, mask = left_pad([[5, 6], [7]], 3, 0)
  assert ids.tolist() == [[0, 5, 6], [0, 0, 7]]
  assert mask.tolist() == [[False, True, True], [False, False, True]]
  ids, mask = right_pad([[5, 6], [7]], 3, 0)
  assert ids.tolist() == [[5, 6, 0], [7, 0, 0]]
  assert mask.tolist() == [[True, True, False], [True, False, False]]


def test_a_pretrained_tokenizer_is_asked_the_full_question():
  class Pretrained(CharTokenizer):
    pass

  full = words(tokenizer=Pretrained())
  word = full.train[0].entry["metadata"]["word"]
  assert full.train[0].prompt == f"Spell this word backward (example: sun -> nus): {word}"
  assert [item.answer for item in full.train] == [item.answer for item in words().train]


NO_ANSWERS = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}


@pytest.mark.slow
def test_every_data_set_is_made_or_refused_in_a_line():
  refused = {}
  for name in data_sets():
    try:
      task = reasoning_task(name, train_prompts=1, evaluation_prompts=1)
      assert all(isinstance(item.answer, str) for item in task.train + task.evaluation)
    except ValueError as error:
      refused[name] = str(error)
  assert len(data_sets()) == 105
  solver = refused.pop("zebra_puzzles", "needs the SAT solver pycosat: pip install pycosat")
  assert "needs the SAT solver pycosat: pip install pycosat" in solver
  assert refused.keys() == NO_ANSWERS
  assert all("stores no answers" in line and "\n" not in line for line in refused.values())
