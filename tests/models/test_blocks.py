"""Layers of other families than Llama's, and layers with a window: what they see, and learn.

That they compute what `transformers` does is in pretrained/test_loading.py.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import adapters
from models.partitioning import batch_sharding, make_mesh, on_mesh, parameter_shardings
from tests.models.tiny import GEMMA3, OLMO3, TINY, log_probs, ragged_groups, tiny_params

every_block = pytest.mark.parametrize("model", [OLMO3, GEMMA3], ids=["Olmo 3", "Gemma 3"])


def changed(model, column):
  """bool [12]: the response's log-probs that change with the token at `column`.

  -1 is the last token of the prompt of 8, 0 the first of the response.
  """
  groups = ragged_groups(b=1, p=8, t=12)
  groups = dataclasses.replace(groups, prompt_mask=jnp.ones_like(groups.prompt_mask))
  if column < 0:
    other = {"prompts": groups.prompts.at[:, column].add(1) % 24}
  else:
    other = {"responses": groups.responses.at[..., column].add(1) % 24}
  params = tiny_params(model)
  one, two = (log_probs(model, params, x) for x in (groups, dataclasses.replace(groups, **other)))
  return np.asarray(one != two)[0, 0]


@pytest.mark.parametrize("column", [-8, -2, 0, 3])
def test_a_token_is_seen_as_far_as_the_windows_of_all_layers_reach(column):
  """Two layers with windows of 3 tokens reach 4 tokens back, and the next token is predicted."""
  model = dataclasses.replace(TINY, windows=(3, 3))
  at = np.arange(12)
  expected = (at >= column) & (at <= column + 4 + 1)  # its own log-prob is the first
  np.testing.assert_array_equal(changed(model, column), expected)
  assert changed(TINY, column)[max(column, 0) :].all()
  assert changed(dataclasses.replace(model, windows=(3, 0)), column)[max(column, 0) :].all()


def test_windows_longer_than_the_row_change_no_log_prob():
  groups, params = ragged_groups(), tiny_params()
  np.testing.assert_array_equal(
    log_probs(dataclasses.replace(TINY, windows=(20, 20)), params, groups),
    log_probs(TINY, params, groups),
  )


@functools.partial(jax.jit, static_argnums=0)
def gradients(model, params, groups):
  return jax.grad(lambda x: jnp.sin(log_probs(model, x, groups)).sum(where=groups.mask))(params)


@every_block
def test_every_parameter_learns(model):
  for name, leaf in gradients(model, tiny_params(model), ragged_groups())["layers"].items():
    assert (
      np.isfinite(leaf).all() and (np.abs(leaf).max(axis=tuple(range(1, leaf.ndim))) > 0).all()
    ), name


@every_block
def test_adapters_merge_into_the_weights(model):
  with_adapters, params = dataclasses.replace(model, lora_rank=2), tiny_params(model)
  adapted = adapters.add(with_adapters, params, jax.random.key(1))
  groups = ragged_groups()
  np.testing.assert_array_equal(
    log_probs(with_adapters, adapted, groups), log_probs(model, params, groups)
  )
  layers = {
    name: leaf + 0.1 if name in adapters._B else leaf for name, leaf in adapted["layers"].items()
  }
  adapted = adapted | {"layers": layers}
  merged = adapters.merged(with_adapters, adapted)
  found = log_probs(with_adapters, adapted, groups)
  assert np.abs(found - log_probs(model, params, groups))[groups.mask].max() > 0.01
  np.testing.assert_allclose(found, log_probs(model, merged, groups), atol=2e-5)


@every_block
def test_eight_devices_compute_the_gradients_of_one(model):
  params, groups = tiny_params(model), ragged_groups()
  expected = gradients(model, params, groups)
  mesh = make_mesh(data=2, fsdp=2, tensor=2)
  shards = jax.device_put(params, parameter_shardings(params, mesh))
  compute = jax.jit(on_mesh(mesh, functools.partial(gradients, model)))
  found = compute(shards, jax.device_put(groups, batch_sharding(mesh)))
  for (path, one), eight in zip(
    jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(found), strict=True
  ):
    np.testing.assert_allclose(eight, one, atol=1e-4 * np.abs(one).max(), err_msg=f"{path}")
