import itertools

import pytest

from tasks.items import LOOKED_AT, Item, Traits, distinct, first_distinct, traits


def test_a_prompt_that_came_before_is_dropped_whatever_its_answer():
  items = [Item("a", "1"), Item("b", "2"), Item("a", "3"), Item("c", "4")]
  assert list(distinct("mine", items)) == [items[0], items[1], items[3]]
  assert first_distinct("mine", items, 2) == (items[0], items[1])


def test_no_more_items_are_made_than_are_wanted():
  made = itertools.count()
  first_distinct("mine", (Item(str(next(made))) for _ in range(100)), 3)
  assert next(made) == 3


def test_a_task_that_repeats_itself_without_end_is_left():
  made = itertools.count()
  items = (Item("again") for _ in iter(lambda: next(made), None))
  assert first_distinct("mine", items, 2) == (Item("again"),)
  assert next(made) == LOOKED_AT * 2


def misfit(**fields):
  """An item of wrong types, which are checked at once in tests only."""
  item = Item("a")
  for name, value in fields.items():
    object.__setattr__(item, name, value)
  return item


@pytest.mark.parametrize(
  "item, message",
  [
    (("a", "b"), "mine: item 2 is ('a', 'b'), no tasks.Item(prompt, answer)"),
    (misfit(answer=7), "mine: item 2 has the answer 7, which is no text"),
    (Item(""), "mine: item 2 has an empty prompt"),
    (misfit(prompt=3), "mine: item 2 has the prompt 3, no text and no tuple of"),
    (misfit(prompt=(("user",),)), "no text and no tuple of"),
    (Item(()), "no text and no tuple of (role, text) pairs"),
  ],
)
def test_what_is_no_item_is_said_with_its_number(item, message):
  with pytest.raises(ValueError) as error:
    list(distinct("mine", [Item("first"), item]))
  assert message in str(error.value)


def test_a_conversation_is_a_prompt():
  item = Item((("system", "Be brief."), ("user", "Why?")), "Because.")
  assert list(distinct("mine", [item])) == [item]


def test_traits_stand_beside_the_function_which_stays_what_it_is():
  @traits(reward="numeric", answers="compared", scores_unfinished=True)
  def mine():
    return [Item("a")]

  assert mine() == [Item("a")]
  assert mine.traits == Traits("numeric", "compared", scores_unfinished=True)  # pyrefly: ignore


def test_a_kind_of_answers_that_there_is_not_is_an_error():
  with pytest.raises(ValueError, match="answers='some' is none of demonstrated, compared, none"):
    traits(answers="some")
