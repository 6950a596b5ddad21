"""Products of activations whose sums are wanted in float32: attention's scores, logits."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum_in_float32(equation: str, a: Array, b: Array) -> Float[Array, "..."]:
  """jnp.einsum(equation, a, b), float32 whatever the operands are.

  Its gradient is of products in the operands' dtype, as those of all other products are. Left to
  itself jax multiplies the float32 cotangent with an operand that it casts to float32, and in full:
  of bfloat16 that is six times the work on a TPU, and on a GPU no work for its tensor cores.
  """
  return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _forward(equation, a, b):
  return einsum_in_float32(equation, a, b), (a, b)


def _backward(equation, operands, cotangent):
  _, pullback = jax.vjp(partial(jnp.einsum, equation), *operands)
  return pullback(cotangent.astype(operands[0].dtype))


einsum_in_float32.defvjp(_forward, _backward)
