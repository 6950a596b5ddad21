"""Whether config.task.reward can be read and suits the task, without importing anybody's code."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from tasks.rewards.function import bound_options, place_of
from tasks.rewards.spelling import Term, parse
from training.checking import own_functions
from training.errors import UserError

_NEEDS_AN_ANSWER = ("answer", "entry")


def problems(config: ConfigDict) -> Iterator[str]:
  """What is wrong with config.task.reward, a line each."""
  text = config.task.reward
  try:
    terms = parse(text)
  except ValueError as error:
    yield f"task.reward={text!r}: {error}"
    return
  for term in terms:
    try:
      signature, _ = own_functions.signature(*_place(term))
      bound_options(term, signature)
    except (UserError, ValueError) as error:
      yield f"task.reward: {error}"
      continue
    needs = [name for name in _NEEDS_AN_ANSWER if name in signature.parameters]
    without = {"sentiment": "vader", "groups": "none"}.get(config.task.name)
    if without and needs and not term.is_own:
      name = config.task.name
      yield f"task.reward={text!r}: {name} has no answers for {term.name!r}; try {without!r}"
  if text.strip() == "vader" and config.task.name not in ("sentiment", "groups"):
    yield "task.reward='vader': judges task.name='sentiment' only; this task's is 'exact'"
  if text.strip() == "none" and config.task.name != "groups":
    yield "task.reward='none': only task.name='groups' goes without; this task's is 'exact'"
  weights = {term.weight for term in terms}
  if config.algorithm.loss == "gdpo" and weights != {1.0}:
    yield f"task.reward={text!r}: gdpo takes each reward alike, so none can have a weight"


def places(text: str) -> dict[str, str]:
  """Name -> "module:function" of the rewards in a sum that can be read."""
  return {term.name: ":".join(_place(term)) for term in parse(text)}


def _place(term: Term) -> tuple[str, str]:
  return own_functions.split(place_of(term.name), "mylab.rewards:polite")
