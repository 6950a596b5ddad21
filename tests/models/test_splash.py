"""Splash attention, interpreted on a CPU, is plain attention."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import splash
from models.log_probs import token_log_probs
from tests.models.test_packing import laid_out
from tests.models.tiny import TINY, ragged_groups, tiny_params

WIDE = dataclasses.replace(TINY, layers=1, head_dim=64)


@pytest.mark.parametrize("k", [1, 2, 8])
@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("layout", [laid_out, lambda groups: groups], ids=["packed", "whole"])
def test_log_probs_and_gradients_are_those_of_plain_attention(k, dtype, rtol, layout):
  groups = jax.tree.map(jnp.asarray, layout(ragged_groups(b=4, k=k, p=40, t=160)))

  @functools.partial(jax.jit, static_argnums=0)
  def both(model, params):
    def total(params):
      logps = token_log_probs(model, params, groups)[0]
      return jnp.where(groups.mask, logps, 0).sum(), logps

    (_, logps), gradient = jax.value_and_grad(total, has_aux=True)(params)
    return jnp.where(groups.mask, logps, 0), gradient

  params = tiny_params(WIDE)
  models = (dataclasses.replace(WIDE, attention=name, dtype=dtype) for name in ("plain", "splash"))
  (logps, gradient), (found, found_gradient) = (both(model, params) for model in models)
  np.testing.assert_allclose(found, logps, rtol=rtol, atol=3 * rtol)
  for x, y in zip(jax.tree.leaves(gradient), jax.tree.leaves(found_gradient), strict=True):
    np.testing.assert_allclose(y, x, rtol=0, atol=4 * rtol * float(jnp.abs(x).max()) + 1e-6)


def test_shapes_that_do_not_fit_have_a_reason_and_plain_attention():
  assert splash.misfit(64, 256) == "" == splash.misfit(128, 128)
  assert "multiple of 128" in splash.misfit(64, 200) and "width 40" in splash.misfit(40)
  groups = jax.tree.map(jnp.asarray, laid_out(ragged_groups(b=2)))
  narrow = dataclasses.replace(TINY, attention="splash")
  plain, found = (token_log_probs(model, tiny_params(), groups)[0] for model in (TINY, narrow))
  np.testing.assert_array_equal(found, plain)
