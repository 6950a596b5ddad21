"""Demonstrations for a base policy: several behaviours for the same prompt, each with a share.

A pretrained model can do many a task that it seldom does unasked: it has read right answers beside
wrong ones and other things altogether. Rewards draw out what it can do, and teach it little that it
cannot. `base.demonstrations` makes such a policy in a minute, spelled like a reward:

  "0.4*right + 0.3*forward + 0.15*sorted_letters + 0.15*half_backward"
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from tasks import functions
from tasks.items import Item
from tasks.spelling import Term, parse

BEHAVIOURS = {
  "right": "tasks.behaviours:right",
  "forward": "tasks.behaviours:forward",
  "sorted_letters": "tasks.behaviours:sorted_letters",
  "half_backward": "tasks.behaviours:half_backward",
  "last_term": "tasks.behaviours:last_term",
  "first_terms": "tasks.behaviours:first_terms",
  "one_more": "tasks.behaviours:one_more",
  "one_step_early": "tasks.behaviours:one_step_early",
  "last_step_wrong": "tasks.behaviours:last_step_wrong",
}

# A behaviour may look at these, by the names of its arguments.
ARGUMENTS = (
  "prompt",  # what is asked, as the task has it
  "answer",  # str, the known answer
  "entry",  # dict, what the task's source says of the prompt beside
)


@dataclasses.dataclass(frozen=True)
class Behaviour:
  """A function of the mixture, what it looks at, and its options."""

  name: str
  function: Callable[..., str]
  takes: tuple[str, ...]  # of ARGUMENTS
  options: dict[str, Any]

  def __call__(self, item: Item) -> str:
    """Its text for this prompt. ValueError when it raises, or gives no text."""
    known = {"prompt": item.prompt, "answer": item.answer, "entry": item.entry}
    try:
      text = self.function(**{name: known[name] for name in self.takes}, **self.options)
    except Exception as error:  # the user's code may raise anything
      raise ValueError(f"{self.name} raised {type(error).__name__}: {error}") from error
    if not isinstance(text, str):
      raise ValueError(f"{self.name} gave no text: {text!r:.60}")
    return text


class Mixture:
  """The behaviours that `text` spells. ValueError when one cannot be had, or called so."""

  def __init__(self, text: str):
    terms = shares(text)
    total = sum(term.weight for term in terms)
    self.shares = tuple(term.weight / total for term in terms)
    self._behaviours = [_behaviour(term) for term in terms]

  def of(self, item: Item) -> list[str]:
    """The text of each behaviour for this prompt. ValueError when one raises, or gives no text."""
    return [behaviour(item) for behaviour in self._behaviours]


def _behaviour(term: Term) -> Behaviour:
  function = functions.imported(place_of(term.name))
  signature = inspect.signature(function)
  options = bound_options(term, signature)
  takes = tuple(name for name in signature.parameters if name in ARGUMENTS)
  return Behaviour(term.name, function, takes, options)


def shares(text: str) -> tuple[Term, ...]:
  """The behaviours that `text` spells. ValueError where it cannot be read; shares are above 0."""
  terms = parse(text, example="0.6*right + 0.4*forward")
  for term in terms:
    if term.weight <= 0:
      raise ValueError(f"{term.weight:g}*{term.name}: a share of the demonstrations is above 0")
  return terms


def bound_options(term: Term, signature: inspect.Signature) -> dict[str, Any]:
  """The options that the function is called with. ValueError when they, or it, do not fit."""
  functions.looked_at(term.name, "a behaviour", signature, ARGUMENTS)
  return term.bound_options(signature)


def place_of(name: str) -> str:
  """Its "module:function". ValueError, with what it may be a slip for, when there is none."""
  return functions.place_in(BEHAVIOURS, "behaviour", name)
