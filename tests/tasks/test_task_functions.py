import pytest

from tasks import TASKS, task_functions
from tasks.items import Item, Traits
from tasks.making import generated_task, task_of_rows
from tasks.rows.row import Row
from tasks.task_functions import find

OWN = "tests.tasks.own_tasks"


def own(name, options=None, train=6, evaluation=2, **about):
  function = find(f"{OWN}:{name}", options)
  return generated_task(function, train_prompts=train, evaluation_prompts=evaluation, **about)


def test_a_function_of_ones_own_is_a_task_with_its_traits_and_options():
  task = own("countdown", {"step": 3})
  assert task.name == f"{OWN}:countdown" and task.reward_names == ("numeric",)
  assert [item.prompt for item in task.evaluation] == ["3-3=", "4-3="]
  assert [item.prompt for item in task.train] == [f"{n}-3=" for n in range(5, 11)]
  assert own("countdown", reward="exact").reward_names == ("exact",)


def test_without_traits_a_response_should_be_the_answer():
  assert find(f"{OWN}:plain").traits == Traits("exact", "demonstrated", scores_unfinished=False)
  prompts = [item.prompt for item in (*own("plain").evaluation, *own("plain").train)]
  assert prompts == [str(n) for n in range(8)]  # each of them came twice


def test_equal_settings_are_one_task_and_its_prompts_are_made_once():
  assert own("countdown", {"step": 2}) is own("countdown", {"step": 2})
  assert own("countdown", {"step": 2}) is not own("countdown", {"step": 1})


@pytest.mark.parametrize("name", TASKS)
def test_the_names_of_the_table_are_where_it_says(name):
  assert find(name).traits != Traits()


@pytest.mark.parametrize(
  "name, options, message",
  [
    ("sentimant", {}, "Did you mean sentiment?"),
    (
      "nothing like it",
      {},
      "neither sentiment, running_sum, gsm8k, questions, groups nor one",
    ),
    (f"{OWN}:countdwn", {}, f"cannot import {OWN}:countdwn from"),
    ("not_there:f", {}, "ModuleNotFoundError: No module named 'not_there'"),
    (f"{OWN}:NO_FUNCTION", {}, "NO_FUNCTION is no function: 3"),
    (f"{OWN}:countdown", {"stp": 2}, "countdown has no option 'stp'. Did you mean step?"),
    (f"{OWN}:countdown", {"step": 0.5}, "countdown: step is int; 0.5 is not"),
    (f"{OWN}:plain", {"n": 3}, "plain has no option 'n'. It has none."),
    (f"{OWN}:needs", {}, "needs needs size: write --config.task.options=size=..."),
    (f"{OWN}:mutable", {}, "words=['a'] is no number, text, tuple, true or false"),
    (f"{OWN}:any_options", {}, "takes **options: write its arguments and options out"),
    (f"{OWN}:asks_for_a_prompt", {}, "'prompt' is none that a task may ask for. Did you mean prom"),
    (f"{OWN}:asks_for_all_rows", {}, "takes both rows and scored_rows: a data set is of one kind"),
    ("chain_sum", {"min_term": 2}, "chain_sum has no option 'min_term'. Did you mean min_terms"),
    ("chain_sum", {"min_terms": [2]}, "min_terms=[2] is no number, text, tuple, true or false"),
  ],
)
def test_a_task_that_cannot_be_had_is_an_error(name, options, message):
  with pytest.raises(ValueError) as error:
    find(name, options)
  assert message in str(error.value)


@pytest.mark.parametrize(
  "name, message",
  [
    ("plain", "has only 10 distinct prompts; train_prompts + eval_prompts = 11"),
    ("plain", "(train_prompts=8 is left)"),
    ("repeats", "has only 1 distinct prompts; train_prompts + eval_prompts = 11"),
    ("without_answers", 'gives no answers: write @traits(answers="none", reward=...) beside it'),
    ("raises", "raises raised KeyError: 'second' (own_tasks.py line 30)"),
    ("gives_nothing", "raised TypeError: 'NoneType' object is not iterable"),
    ("gives_pairs", "item 2 is ('2', '2'), no tasks.Item(prompt, answer)"),
  ],
)
def test_prompts_that_cannot_be_had_are_an_error(name, message):
  with pytest.raises(ValueError) as error:
    own(name, train=9)
  assert message in str(error.value)


# --- rows -----------------------------------------------------------------------------------------


def of_rows(name, train, held_out, evaluation=1):
  rows = ([Row(prompt, answer="7") for prompt in prompts] for prompts in (train, held_out))
  return task_of_rows(find(name), *rows, train_prompts=9, evaluation_prompts=evaluation)


def test_rows_held_out_are_evaluated_on_and_the_others_trained_on():
  task = of_rows(f"{OWN}:request", ["a", "b!", "c"], ["d"])
  assert [item.prompt for item in task.evaluation] == ["Please: d"]
  assert [item.prompt for item in task.train] == ["Please: a", "Please: c"]
  assert of_rows("questions", ["a"], ["b"]).train == (Item("a", "7"),)


def test_a_prompt_that_a_task_makes_of_both_halves_is_not_trained_on():
  assert [item.prompt for item in of_rows("questions", ["a", "b"], ["b"]).train] == ["a"]


@pytest.mark.parametrize(
  "train, held_out, message",
  [
    (["a"], ["b", "c!"], "gives only 1 distinct prompts for the 2 that are held out: leave rows"),
    (["a!"], ["b", "c"], "has no prompt to train on"),
  ],
)
def test_rows_that_leave_too_little_are_an_error(train, held_out, message):
  with pytest.raises(ValueError, match=message):
    of_rows(f"{OWN}:request", train, held_out, evaluation=2)


def test_the_names_are_known_without_importing_reasoning_gym():
  assert {"sentiment", "spell_backward", "letter_counting"} <= set(task_functions.names())
