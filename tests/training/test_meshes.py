"""Eight devices in any mesh do what one does. The devices are fake, the partitioning is real."""

import dataclasses
import functools
import re

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from algorithms import dapo, dpo
from models.partitioning import fit, make_mesh, parameter_shardings, rule
from models.sampler import Sampler
from tests.models.tiny import TINY, ragged_groups
from tests.training.test_update import OPTIMIZER
from training.compiled_sampling import compiled_sampler
from training.sources.order import key_for
from training.state import new_state, random_params
from training.update import UpdateSpec, compiled_update

# as many key heads as the longest tensor axis is long, biases, a head of its own
MODEL = dataclasses.replace(
  TINY, d_model=64, kv_heads=4, ff_dim=64, attention_bias=True, tied=False
)
SAMPLER = Sampler(max_tokens=6, eos_ids=(1,), pad_id=0, group_size=2)
NUMBERS = {"algorithm": {}, "temperature": 1.0, "optimizer": OPTIMIZER}


def groups_by_length():
  """Ordered, so that shards have very different numbers of tokens."""
  groups, rng = ragged_groups(), np.random.default_rng(0)
  order = np.argsort(np.asarray(groups.mask.sum(axis=(1, 2))))
  groups = jax.tree.map(lambda x: np.asarray(x)[order], groups)
  assert groups.mask[0].sum() < groups.mask[-1].sum()
  drawn = rng.normal(-3, 0.1, (2, *groups.mask.shape)).astype(np.float32)
  rewards = rng.normal(size=(8, 2)).astype(np.float32)
  return dataclasses.replace(groups, old_logps=drawn[0], ref_logps=drawn[1], rewards=rewards)


@functools.cache
def trained(loss, *shape):
  """What a mesh of this shape samples, its losses and gradient norms of three steps, its state."""
  mesh, groups = make_mesh(*shape), groups_by_length()
  params = random_params(MODEL, mesh, seed=0)
  samples = compiled_sampler(MODEL, SAMPLER, mesh)(
    params, groups.prompts, groups.prompt_mask, key_for("sampling", 0, 0), 1.0
  )
  state, losses = new_state(params, mesh), []
  for _ in range(3):
    before = state
    state, metrics, _ = compiled_update(UpdateSpec(MODEL, mesh, loss))(state, groups, NUMBERS)
    losses += [float(metrics["loss"]), float(metrics["grad_norm"])]
    leaves = jax.tree.leaves((before.params, before.moments))
    assert all(leaf.is_deleted() for leaf in leaves)  # donated: never two states in memory
  return samples, losses, state


def shard_sizes(tree):
  """{leaf: elements on each device, of all}"""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
  return {name(path): (leaf.addressable_shards[0].data.size, leaf.size) for path, leaf in leaves}


@pytest.mark.parametrize(
  ("loss", "shape"), [(dapo, (1, 8, 1)), (dapo, (1, 2, 4)), (dpo, (2, 2, 2))]
)
def test_eight_devices_in_any_mesh_train_and_sample_as_one(loss, shape):
  data, fsdp, tensor = shape
  one_samples, one_losses, one = trained(loss, 1, 1, 1)
  samples, losses, state = trained(loss, *shape)
  np.testing.assert_array_equal(samples.responses, one_samples.responses)
  np.testing.assert_allclose(samples.logps, one_samples.logps, atol=1e-5)
  assert len(samples.responses.addressable_shards[0].data) == 8 // (data * fsdp)
  np.testing.assert_allclose(losses, one_losses, rtol=1e-4, atol=1e-6)
  gradients, one_gradients = state.moments.mu["params"], one.moments.mu["params"]
  for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(one_gradients), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max(), err_msg=f"{a.shape}")
  for tree in (state.params, state.moments.mu["params"], state.moments.nu["params"]):
    sizes = shard_sizes(tree)
    for name in ("embedding", "head", "layers/query", "layers/down", "layers/gate"):
      here, whole = sizes[name]
      assert here * fsdp * tensor == whole, (name, sizes[name])
    here, whole = sizes["layers/key_bias"]
    assert here * tensor == whole


def temporary_bytes(mesh):
  """What an update takes beside its arguments, on each device."""
  model = dataclasses.replace(MODEL, vocab_size=4096, d_model=256, ff_dim=768)
  state = jax.eval_shape(lambda: new_state(random_params(model, mesh, 0), mesh))
  placed = jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    state,
    parameter_shardings(state, mesh),
  )
  many = ragged_groups(b=16, k=4, p=32, t=24)
  many = dataclasses.replace(many, old_logps=np.zeros(many.mask.shape, np.float32))
  update = compiled_update(UpdateSpec(model, mesh, dapo))
  # pyrefly: ignore[missing-attribute]
  compiled = update.for_a_single_run.lower(placed, many, NUMBERS).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_prompts_stay_split_where_parameters_are():
  """XLA left to itself computes them all on every device, in three times the memory."""
  assert temporary_bytes(make_mesh(1, 8, 1)) < 1.5 * temporary_bytes(make_mesh(8, 1, 1))


def test_nothing_is_gathered_at_every_token():
  """The decoding loop's weights are whole before it begins, and each device looks up its own."""
  one_layer = dataclasses.replace(MODEL, layers=1)  # its prompts are read without a loop
  mesh = make_mesh(1, 8, 1)
  shapes = jax.eval_shape(lambda: random_params(one_layer, mesh, 0))
  params = jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    shapes,
    parameter_shardings(shapes, mesh),
  )
  prompts = np.ones((8, 4), np.int32), np.ones((8, 4), bool)
  sampler = compiled_sampler(one_layer, SAMPLER, mesh)
  # pyrefly: ignore[missing-attribute]
  lowered = sampler.for_a_single_run.lower(params, *prompts, jax.random.key(0), 1.0)
  loop, before = lowered.compile().as_text().split("\nENTRY ")

  def gathered(text):
    return set(re.findall(r"= (\w+)\[.* all-gather\(", text))

  assert gathered(loop) == set() and "f32" in gathered(before)


def test_a_dimension_that_does_not_divide_is_whole_on_every_device():
  assert fit(P("tensor", "fsdp"), (29, 128), make_mesh(1, 2, 4)) == P(None, "fsdp")


@pytest.mark.parametrize(
  ("path", "spec"),
  [
    ("params/embedding", P("tensor", "fsdp")),
    ("params/head", P("fsdp", "tensor")),
    ("moments/mu/params/layers/query", P(None, "fsdp", "tensor")),
    ("params/layers/query_bias", P(None, "tensor")),
    ("params/layers/gate_a", P(None, "fsdp", None)),
    ("params/layers/gate_b", P(None, None, "tensor")),
    ("params/layers/down", P(None, "tensor", "fsdp")),
    ("params/layers/down_a", P(None, "tensor", None)),
    ("params/layers/down_b", P(None, None, "fsdp")),
    ("params/layers/query_norm", P()),
    ("params/scalar_head", P()),
    ("step", P()),
  ],
)
def test_where_parameters_live(path, spec):
  assert rule(path) == spec


def test_a_mesh_larger_than_the_machine_is_refused():
  with pytest.raises(ValueError, match=r"mesh 64 x 2 x 1 .* needs 128 devices; this machine has"):
    make_mesh(64, 2, 1)
