"""Products summed in float32: the numbers, and what their gradient multiplies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from models.attention import einsum_in_float32
from models.log_probs import token_log_probs
from tests.models.tiny import TINY, ragged_groups, tiny_params

EQUATION = "nm,mv->nv"


def operands(dtype):
  keys = jax.random.split(jax.random.key(0))
  return [
    jax.random.normal(k, s).astype(dtype) for k, s in zip(keys, [(5, 8), (8, 3)], strict=True)
  ]


def products(jaxpr):
  """The dtypes of the operands of each matrix product, those in inner jaxprs too."""
  for equation in jaxpr.eqns:
    if equation.primitive.name == "dot_general":
      yield tuple(str(variable.aval.dtype) for variable in equation.invars)
    for inner in jaxprs_in_params(equation.params):
      yield from products(inner)


def test_in_float32_it_is_einsum_and_so_is_its_gradient():
  a, b = operands(jnp.float32)

  def gradient(product):
    return jax.grad(lambda a, b: (product(EQUATION, a, b) ** 2).sum(), argnums=(0, 1))(a, b)

  np.testing.assert_array_equal(einsum_in_float32(EQUATION, a, b), jnp.einsum(EQUATION, a, b))
  jax.tree.map(np.testing.assert_array_equal, gradient(einsum_in_float32), gradient(jnp.einsum))


def test_of_bfloat16_it_is_the_exact_sum_and_its_gradient_that_of_rounded_cotangents():
  a, b = operands(jnp.bfloat16)
  exact = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
  found, pullback = jax.vjp(lambda a, b: einsum_in_float32(EQUATION, a, b), a, b)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)
  cotangent = jnp.full(found.shape, 1.001)  # bfloat16 has 1 and 1.0078, nothing between
  of_a, _ = pullback(cotangent)
  assert of_a.dtype == jnp.bfloat16
  np.testing.assert_allclose(of_a, np.asarray(b, np.float32).sum(axis=1)[None] + 0 * a, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_networks_gradient_multiplies_numbers_of_its_own_dtype_alone(dtype):
  model, groups = dataclasses.replace(TINY, dtype=dtype), ragged_groups()

  def loss(params):
    return token_log_probs(model, params, groups)[0].sum()

  jaxpr = jax.make_jaxpr(jax.grad(loss))(tiny_params()).jaxpr
  assert {name for pair in products(jaxpr) for name in pair} == {dtype}
