"""Types and shapes are checked in functions of every kind: the tests rely on that."""

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Array, Float

from algorithms.reductions import token_mean
from tests.type_checks import jaxtyped

if TYPE_CHECKING:
  from training.parts import Parts

checked = jaxtyped(typechecker=None)


@checked
def doubled(number: int) -> int:
  much: Any = "much"
  return number * 2 if number < 10 else much


@checked
def stacked(x: Float[Array, "B T"], y: Float[Array, "B T"]) -> Float[Array, "T B"]:
  return x if x.size == 6 else (x + y).T


@checked
def later(value: "Late | None", parts: "Parts | None" = None) -> "list[Late]":
  found: Any = [value]
  return found


@checked
@dataclasses.dataclass(frozen=True)
class Late:
  size: int
  rows: Float[Array, "N 2"] | None = None


def adder(to):
  @checked
  def add(number: int) -> int:
    return to + number

  return add


def refused(function, *args):
  with pytest.raises(BeartypeCallHintViolation):
    function(*args)


def test_arguments_and_what_is_returned_are_of_their_types():
  assert doubled(2) == 4
  refused(doubled, "2")
  refused(doubled, 20)


def test_axes_of_one_name_have_one_size_among_arguments_and_in_the_result():
  x, y = jnp.ones((2, 4)), jnp.ones((2, 3))
  assert stacked(x, x).shape == (4, 2)
  assert jax.jit(stacked)(x, x).shape == (4, 2)
  refused(stacked, x, y)
  refused(stacked, y, y)  # the result is not turned
  refused(stacked, x, jnp.ones((2, 4), int))
  assert stacked(x[:1], x[:1]).shape == (4, 1)  # sizes are of one call


def test_a_name_in_quotes_is_looked_up_and_one_that_is_not_there_is_anything():
  assert later(Late(1), "anything") == [Late(1)]
  refused(later, 1)
  refused(later, None)


def test_the_fields_of_a_dataclass_are_checked():
  refused(Late, "1")
  refused(Late, 1, jnp.ones((2, 3)))


def test_each_function_that_a_definition_makes_is_checked_and_is_itself():
  one, two = adder(1), adder(2)
  assert [one(1), two(1), adder(3)(1)] == [2, 3, 4]
  for function in (one, two, adder(3), adder("4")):
    refused(function, "1")


def test_a_generators_arguments_are_checked():
  @checked
  def count(to: int) -> Iterator[int]:
    yield from range(to)

  assert list(count(2)) == [0, 1]
  refused(lambda: list(count("2")))


def test_our_own_functions_are_checked():
  refused(token_mean, jnp.ones((2, 3, 4)), jnp.ones((2, 3, 5), bool))


def test_jax_was_imported_after_it_was_told_where_to_keep_programs():
  assert jax.config.values["jax_compilation_cache_dir"] == os.environ["JAX_COMPILATION_CACHE_DIR"]
