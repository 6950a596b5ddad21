"""`@loss_function`: what every loss does before its formula begins.

The arrays' shapes and the hyperparameters' ranges are checked (an error names the argument), and
what the policy does not compute is cut off from the gradient: the loss below the decorator can then
be written as the paper writes it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import jax

from algorithms.ranges import Range
from algorithms.shapes import COMPUTED, check_shapes


def loss_function(function: Callable) -> Callable:
  """A loss: positional arguments are arrays of the vocabulary, keyword-only ones hyperparameters.

  Raises ValueError when an array has the wrong shape or dtype, a number is outside the range of its
  type (see `shapes`), or a text is not one of its `Literal`.
  """
  signature = inspect.signature(function)
  hyperparameters = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}

  @functools.wraps(function)
  def loss(*args, **kwargs):
    arguments = signature.bind(*args, **kwargs).arguments
    options = {name: arguments.pop(name) for name in hyperparameters if name in arguments}
    check_shapes(**arguments)
    for name, value in options.items():
      _check_hyperparameter(name, value, hyperparameters[name].annotation)
    data = {name: x for name, x in arguments.items() if name not in COMPUTED}
    return function(**arguments | jax.lax.stop_gradient(data), **options)

  # For `help`, which would spell out every type. They are in `__annotations__` still.
  bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
  # pyrefly: ignore[missing-attribute]
  loss.__signature__ = inspect.Signature(bare)
  return loss


def _check_hyperparameter(name: str, value: Any, annotation: Any) -> None:
  if get_origin(annotation) is Literal and value not in get_args(annotation):
    raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(str, get_args(annotation)))}")
  for limit in getattr(annotation, "__metadata__", ()):
    if isinstance(limit, Range) and not isinstance(value, jax.core.Tracer):
      problem = limit.problem(name, float(value))
      if problem:
        raise ValueError(problem)
