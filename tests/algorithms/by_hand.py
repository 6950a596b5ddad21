"""The example that most golden values of policy gradients are about.

One prompt, a response of two tokens and one of one token, with rewards (1, 0), so the standardized
advantages are +-a with a = 0.5 / 0.5001, and ratios (1.1, 1.5 | 0.5).
"""

import jax
import jax.numpy as jnp
import numpy as np

A = jnp.array
a = 0.5 / 0.5001
log = np.log
GARBAGE = 9.0  # at the padded token


def two_responses(**others):
  old = A([[[-1.0, -2.0], [-1.5, GARBAGE]]])
  return {
    "logps": old + jnp.log(A([[[1.1, 1.5], [0.5, GARBAGE]]])),
    "old_logps": old,
    "rewards": A([[1.0, 0.0]]),
    "mask": A([[[True, True], [True, False]]]),
  } | others


def gradient(loss, arrays, name="logps", **options):
  return jax.grad(lambda x: loss(**arrays | {name: x}, **options)[0])(arrays[name])


def close(given, wanted):
  np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-6)
