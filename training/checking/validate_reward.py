"""Whether config.task.reward can be read and suits the task, without importing anybody's code."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from tasks.rewards.function import bound_options, place_of
from tasks.slips import choose
from tasks.spelling import Term, labels, parse
from training.checking import own_functions, task_signatures
from training.checking.task_signatures import TaskSignature
from training.errors import UserError

_NEEDS_AN_ANSWER = ("answer", "entry")


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems of config.task.reward, a line each."""
  try:
    task = task_signatures.of(config)
  except UserError:
    return  # said already
  text = config.task.reward or task.traits.reward
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
    if needs and task.traits.answers == "none" and not term.is_own:
      its_own = task.traits.reward
      yield f"task.reward={text!r}: {task.name} has no answers for {term.name!r}; try {its_own!r}"
  yield from _left_over(text.strip(), task)
  if config.eval.right and config.eval.right not in labels(terms):
    yield choose("eval.right", config.eval.right, labels(terms))
  weights = {term.weight for term in terms}
  if config.algorithm.loss == "gdpo" and weights != {1.0}:
    yield f"task.reward={text!r}: gdpo takes each reward alike, so none can have a weight"


def _left_over(text: str, task: TaskSignature) -> Iterator[str]:
  """Rewards that mean something for another kind of task only, and are this task's by mistake."""
  its_own = f"this task's is {task.traits.reward!r}"
  if text == task.traits.reward or task.is_scored:
    return
  if text == "vader" and task.traits.answers != "none":
    yield f"task.reward='vader': looks at no answer, and {task.name} has answers; {its_own}"
  if text == "none":
    names = " or ".join(f"task.name={name!r}" for name in task_signatures.scored())
    yield f"task.reward='none': only {names} goes without; {its_own}"


def places(text: str) -> dict[str, str]:
  """Name -> "module:function" of the rewards in a sum that can be read."""
  return {term.name: ":".join(_place(term)) for term in parse(text)}


def _place(term: Term) -> tuple[str, str]:
  return own_functions.split(place_of(term.name), "mylab.rewards:polite")
