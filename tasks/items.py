"""The `Item`s that a task function gives, one a prompt, and the `traits` written beside it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.rows.row import Prompt

ANSWERS = ("demonstrated", "compared", "none")
LOOKED_AT = 20  # items at most, for each distinct prompt that is wanted


@dataclasses.dataclass(frozen=True)
class Item:
  """A prompt and what is known of its answer. `entry` is what a reward may need beside."""

  prompt: Prompt
  answer: str = ""  # "" in a task that has no answers
  entry: dict = dataclasses.field(default_factory=dict, compare=False)


@dataclasses.dataclass(frozen=True)
class Traits:
  """Facts of a task that a run needs before any prompt is made. ValueError for other values.

  reward             used where config.task.reward is empty, and spelled like it
  answers            "demonstrated": a response should be the answer, so a policy can learn to write
                     it (base.steps, source="demonstrations"); "compared": a response holds the
                     answer and says more, so that rewards alone look at it; "none": there are none
  demonstrations     what a base policy is taught, where config.base.demonstrations is empty, and
                     spelled like it (demonstrations.py)
  scores_unfinished  a response that reached the length limit is scored as it stands; else it gets 0
  data               the data set that the rows are of, where config.task.data is empty
  """

  reward: str = "exact"
  answers: str = "demonstrated"
  demonstrations: str = "right"
  scores_unfinished: bool = False
  data: str = ""

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value, kind = getattr(self, field.name), type(field.default)
      if type(value) is not kind:
        raise ValueError(f"the trait {field.name} is {kind.__name__}; {value!r} is not")
    if self.answers not in ANSWERS:
      raise ValueError(f"the trait answers={self.answers!r} is none of {', '.join(ANSWERS)}")


def traits(
  *,
  reward: str = "exact",
  answers: str = "demonstrated",
  demonstrations: str = "right",
  scores_unfinished: bool = False,
  data: str = "",
) -> Callable[[Callable], Callable]:
  """Puts `Traits` beside a task function: `@traits(reward="vader", answers="none")`.

  Configs are checked without an import of the function's module, so the values are literals.
  """
  found = Traits(reward, answers, demonstrations, scores_unfinished, data)

  def mark(function: Any) -> Callable:
    function.traits = found
    return function

  return mark


def distinct(name: str, items: Iterable[Any]) -> Iterator[Item]:
  """The items in order, each prompt once. ValueError, with its number, for what is no item."""
  seen = set()
  for number, item in enumerate(items, start=1):
    if problem := _problem(item):
      raise ValueError(f"{name}: item {number} {problem}")
    if item.prompt not in seen:
      seen.add(item.prompt)
      yield item


def first_distinct(name: str, items: Iterable[Any], wanted: int) -> tuple[Item, ...]:
  """The first `wanted` items of distinct prompts, or as many as there are.

  A task that repeats itself without end is left after `LOOKED_AT * wanted` items.
  """
  some = itertools.islice(items, LOOKED_AT * wanted)
  return tuple(itertools.islice(distinct(name, some), wanted))


def _problem(item: Any) -> str:
  if not isinstance(item, Item):
    return f"is {item!r:.60}, no tasks.Item(prompt, answer)"
  if not isinstance(item.answer, str):
    return f"has the answer {item.answer!r:.60}, which is no text"
  if isinstance(item.prompt, str):
    return "" if item.prompt else "has an empty prompt"
  is_conversation = isinstance(item.prompt, tuple) and all(
    isinstance(turn, tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)
    for turn in item.prompt
  )
  if not is_conversation or not item.prompt:
    return f"has the prompt {item.prompt!r:.60}, no text and no tuple of (role, text) pairs"
  return ""
