"""Types and shapes of what each function takes and returns, checked wherever a test calls it.

jaxtyping's import hook decorates every function with `jaxtyping.jaxtyped`, for which `jaxtyped` is
put here. Its own binds the arguments anew at every call (25 us) and compiles two checkers at every
definition (2 ms, and again at each call of the function that another is nested in). Here beartype
alone checks a function (1 us) unless its annotations name arrays, whose axes have to agree; and a
checker is compiled once, when the function is first called.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import beartype

_as_given = jaxtyping.jaxtyped  # (a call of it imports jax: not before conftest.py is done)
_OF_ARRAYS = type(jaxtyping.AbstractArray)  # (not type(jaxtyping.PyTree): it would import jax)
_checkers: dict[int, tuple[types.FunctionType, Callable]] = {}  # id of a code -> its first function


def jaxtyped(function: Any = None, *, typechecker: Any = None) -> Any:
  """As a decorator: the function, checked; a class, with the fields checked of a dataclass.

  Args:
    typechecker: jaxtyping's hook gives one; it is beartype here.
  """
  if function is None:
    return functools.partial(jaxtyped, typechecker=typechecker)
  if not isinstance(function, type):
    return _checked(function)
  if dataclasses.is_dataclass(function) and not hasattr(function.__init__, "is_checked"):
    function.__init__ = _checked(function.__init__)
  return function


def _checked(function: Any) -> Callable:
  checker = None

  @functools.wraps(function)
  def call(*args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    nonlocal checker
    if checker is None:
      checker = _checker(function)
    return checker(*args, **kwargs)

  call.__dict__["is_checked"] = True
  return call


def _checker(function: Any) -> Callable:
  """Compiled once for all functions that one definition makes, again and again where it is nested.

  The code of such functions is the same, and their annotations nearly always are.
  """
  key = id(function.__code__)
  first, checker = _checkers.get(key, (None, None))
  if first is None or first.__annotations__ != function.__annotations__:
    first, checker = _checkers[key] = function, _compiled(function)
  if checker is None:
    return function
  if first is not function:
    checker = _copy(checker)
    checker.__kwdefaults__ = {**checker.__kwdefaults__, "__beartype_func": function}
  if _names_arrays(checker.__annotations__.values()):
    return _as_given(checker, typechecker=None)  # in a call, an axis's name stands for one size
  return checker


def _compiled(function: types.FunctionType) -> Any:
  """beartype's check around the function; None where no annotation says anything."""
  known = _copy(function)
  known.__annotations__ = {
    name: _resolved(hint, function.__globals__) for name, hint in function.__annotations__.items()
  }
  checker = beartype(known)
  return None if checker is known else checker


def _copy(function: Any) -> Any:
  parts = (function.__code__, function.__globals__, function.__name__, function.__defaults__)
  copy: Any = types.FunctionType(*parts, function.__closure__)
  functools.update_wrapper(copy, function)
  del copy.__wrapped__
  copy.__annotations__ = dict(function.__annotations__)
  copy.__kwdefaults__ = dict(function.__kwdefaults__ or {})
  return copy


def _resolved(hint: Any, scope: dict[str, Any]) -> Any:
  """The hint without names in quotes; Any where they are not there (`if TYPE_CHECKING`)."""
  holder = types.SimpleNamespace(__annotations__={"value": hint})
  try:
    return typing.get_type_hints(holder, scope, include_extras=True)["value"]
  except Exception:
    return Any


def _names_arrays(hints: typing.Iterable[Any]) -> bool:
  return any(isinstance(one, _OF_ARRAYS) or _names_arrays(typing.get_args(one)) for one in hints)
