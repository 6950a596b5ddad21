import pytest

from tasks import Item, behaviours, reasoning, task_functions
from tasks.demonstrations import BEHAVIOURS, Mixture, place_of
from tasks.making import generated_task

SPELLED = "0.4*right + 0.3*forward + 0.15*sorted_letters + 0.15*half_backward"


def shout(answer, *, times=1):
  return answer.upper() + "!" * times


def number(prompt):
  return 3


def bare(entry):
  return entry["word"]


def test_a_mixture_has_each_behaviours_text_and_share():
  mixture = Mixture(SPELLED)
  assert mixture.of(Item("stone>", "enots")) == ["enots", "stone", "enost", "ensto"]
  assert mixture.shares == pytest.approx((0.4, 0.3, 0.15, 0.15))


def test_shares_are_relative():
  assert Mixture("3*right + forward").shares == (0.75, 0.25)


def test_a_behaviour_of_ones_own_takes_options():
  mixture = Mixture(f"right + {__name__}:shout(times=2)")
  assert mixture.of(Item("a>", "b")) == ["b", "B!!"]


def test_behaviours_of_sums_worked_out_by_hand():
  assert behaviours.last_term("17+25-8=") == "8"
  assert behaviours.first_terms("17-25+8=") == "-8"
  assert behaviours.first_terms("What is 17 - 25 + 8?") == "-8"
  assert behaviours.one_more("-1") == "0"


@pytest.mark.parametrize("name", reasoning.TRAITS)
def test_the_behaviours_of_a_task_are_seldom_right_but_for_one(name):
  task = generated_task(task_functions.find(name), train_prompts=500, evaluation_prompts=10)
  mixture = Mixture(task_functions.find(name).traits.demonstrations)
  right = [[text == item.answer for text in mixture.of(item)] for item in task.train]
  assert all(row[0] for row in right)
  assert sum(any(row[1:]) for row in right) < 0.25 * len(right)


def test_every_behaviour_of_the_table_is_there():
  for name in BEHAVIOURS:
    assert Mixture(name).of(Item("12+3=", "15"))


@pytest.mark.parametrize(
  "text, said",
  [
    ("forwards", "no behaviour 'forwards'. Did you mean forward?"),
    ("right - 0.1*forward", "-0.1*forward: a share of the demonstrations is above 0"),
    ("right forward", "write it like 0.6*right + 0.4*forward"),
    ("right(times=2)", "right has no option 'times'"),
  ],
)
def test_a_mixture_that_makes_no_sense_is_refused(text, said):
  with pytest.raises(
    ValueError, match=said.replace("(", r"\(").replace("*", r"\*").replace("+", r"\+")
  ):
    Mixture(text)


def test_a_behaviour_that_gives_no_text_or_raises_is_named():
  with pytest.raises(ValueError, match="number gave no text: 3"):
    Mixture(f"{__name__}:number").of(Item("a>", "b"))
  with pytest.raises(ValueError, match="bare raised KeyError"):
    Mixture(f"{__name__}:bare").of(Item("a>", "b"))


def test_your_own_is_at_its_place():
  assert place_of("mylab.behaviours:copied") == "mylab.behaviours:copied"
