"""Low-rank adapters: what is trained, what stays, and what the reference is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import dpo
from models import adapters
from models.partitioning import make_mesh
from tests.models.tiny import TINY, log_probs, ragged_groups, tiny_params
from tests.training.test_update import OPTIMIZER, with_log_probs
from training.state import new_state
from training.update import UpdateSpec, compiled_update

LORA = dataclasses.replace(TINY, lora_rank=2)


def adapted():
  """The tiny decoder with new adapters, in arrays of its own."""
  plain = jax.tree.map(jnp.copy, tiny_params())
  return jax.jit(adapters.add, static_argnums=0)(LORA, plain, jax.random.key(5))


@pytest.fixture(scope="module")
def trained():
  """(the state after three steps of DPO, its bytes at the start, the loss of each step)."""
  groups = with_log_probs(ragged_groups(), tiny_params(), tiny_params())
  update = compiled_update(UpdateSpec(LORA, make_mesh(), dpo))
  state = new_state(adapted(), make_mesh())
  before, losses = jax.tree.map(np.array, state.params), []
  numbers = {"algorithm": {"beta": 1.0}, "temperature": 1.0, "optimizer": OPTIMIZER}
  for _ in range(3):
    state, metrics, _ = update(state, groups, numbers)
    losses.append(float(metrics["loss"]))
  return state, before, losses


def test_merged_into_its_weights_a_network_computes_the_same(trained):
  state, _, _ = trained
  params = state.params
  plain = adapters.merged(LORA, params)
  assert not adapters.are_in(plain)
  groups = ragged_groups()
  with_them = log_probs(LORA, params, groups)
  np.testing.assert_allclose(log_probs(TINY, plain, groups), with_them, atol=1e-5)
  before = log_probs(TINY, tiny_params(), groups)
  assert np.abs(with_them - before)[groups.mask].max() > 1e-3


def test_new_adapters_change_nothing():
  groups = ragged_groups()
  with_them, without = (
    log_probs(model, params, groups) for model, params in ((LORA, adapted()), (TINY, tiny_params()))
  )
  np.testing.assert_allclose(with_them, without, atol=1e-6)


def test_only_the_adapters_are_trained_and_have_moments(trained):
  state, before, losses = trained
  assert losses[0] == pytest.approx(np.log(2), abs=1e-6) and losses[2] < losses[1] < losses[0]
  moved = {
    name
    for name, leaf in state.params["layers"].items()
    if (np.asarray(leaf) != before["layers"][name]).any()
  }
  assert moved == {f"{name}_{kind}" for name in adapters.LINEAR for kind in "ab"}
  for name in ("embedding", "final_norm"):
    np.testing.assert_array_equal(state.params[name], before[name])
  moments = {leaf.shape for leaf in jax.tree.leaves(state.moments.mu)}
  assert moments == {before["layers"][name].shape for name in moved}


def test_the_reference_is_the_policy_with_adapters_off(trained):
  state, _, _ = trained
  groups = ragged_groups()
  reference = adapters.reference_of(state.params, reference=tiny_params())
  assert reference["embedding"] is state.params["embedding"]  # pyrefly: ignore[unsupported-operation]
  found = log_probs(LORA, reference, groups)
  np.testing.assert_allclose(found, log_probs(TINY, tiny_params(), groups), atol=1e-6)
  assert (log_probs(LORA, state.params, groups) != found).any()


def test_without_adapters_all_is_trained_and_the_reference_stays():
  params = tiny_params()
  assert adapters.trainable(params) is params
  assert adapters.reference_of(params, reference=params) is params
  assert adapters.reference_of(adapted(), reference=None) is None


def test_a_resting_network_is_not_copied():
  params = adapted()
  state = new_state(params, make_mesh())
  pointer = lambda x: x.addressable_shards[0].data.unsafe_buffer_pointer()  # noqa: E731
  assert pointer(state.params["embedding"]) == pointer(params["embedding"])
  layers = state.params["layers"], params["layers"]
  assert pointer(layers[0]["query_a"]) != pointer(layers[1]["query_a"])
