"""Eight devices in any mesh do what one does. The devices are fake, the partitioning is real."""

import os
import subprocess
import sys

import pytest
from jax.sharding import PartitionSpec as P

from models.partitioning import make_mesh, rule

MESHES = [(8, 1, 1), (1, 8, 1), (2, 2, 2), (1, 2, 4)]

ON_EIGHT_DEVICES = """
import dataclasses, functools, sys
import jax
import numpy as np
from algorithms import dapo
from experiments.training.collect import compiled_sampler, key_for
from experiments.training.state import new_state, random_params
from experiments.training.update import UpdateSpec, compiled_update
from jax.sharding import PartitionSpec as P
from models.partitioning import fit, make_mesh, parameter_shardings
from models.sampling import Sampler
from tests.experiments.test_update import OPTIMIZER, with_log_probs
from tests.models.tiny import TINY, ragged_groups, tiny_params

assert len(jax.devices()) == 8
# as many key heads as the tensor axis is long, biases, a head of its own
MODEL = dataclasses.replace(
  TINY, d_model=64, kv_heads=4, ff_dim=64, attention_bias=True, tied=False
)
SAMPLER = Sampler(max_tokens=6, eos_ids=(1,), pad_id=0, group_size=2)
NUMBERS = {"algorithm": {}, "temperature": 1.0, "optimizer": OPTIMIZER}

def by_length(groups):  # so that shards have very different numbers of tokens
  order = np.argsort(np.asarray(groups.mask.sum(axis=(1, 2))))
  return jax.tree.map(lambda x: np.asarray(x)[order], groups)

groups = by_length(ragged_groups())
groups = dataclasses.replace(
  groups, old_logps=np.full(groups.mask.shape, -3, np.float32),
  rewards=np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32),
)
assert groups.mask[0].sum() < groups.mask[-1].sum()

def trained(mesh):
  params = random_params(MODEL, mesh, seed=0)
  samples = compiled_sampler(MODEL, SAMPLER, mesh)(
    params, groups.prompts, groups.prompt_mask, key_for("sampling", 0, 0), 1.0
  )
  state, losses = new_state(params, mesh), []
  for _ in range(3):
    before = state
    state, metrics = compiled_update(UpdateSpec(MODEL, mesh, dapo))(state, groups, NUMBERS)
    losses += [float(metrics["loss"]), float(metrics["grad_norm"])]
    leaves = jax.tree.leaves((before.params, before.moments))
    assert all(leaf.is_deleted() for leaf in leaves)  # donated: never two states in memory
  return samples, losses, state

def shard_sizes(tree):  # elements on each device, of all
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
  return {name(path): (leaf.addressable_shards[0].data.size, leaf.size) for path, leaf in leaves}

# a dimension that does not divide is whole on every device
uneven = fit(P("tensor", "fsdp"), (29, 128), make_mesh(1, 2, 4))
assert uneven == P(None, "fsdp"), uneven

# Prompts stay split where parameters are: XLA left to itself computes them all on every device,
# in three times the memory.
def temporary(mesh):
  model = dataclasses.replace(MODEL, vocab_size=4096, d_model=256, ff_dim=768)
  state = jax.eval_shape(lambda: new_state(random_params(model, mesh, 0), mesh))
  placed = jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    state, parameter_shardings(state, mesh),
  )
  update = compiled_update(UpdateSpec(model, mesh, dapo))
  many = ragged_groups(b=16, k=4, p=32, t=24)
  many = dataclasses.replace(many, old_logps=np.zeros(many.mask.shape, np.float32))
  return update.lower(placed, many, NUMBERS).compile().memory_analysis().temp_size_in_bytes

assert temporary(make_mesh(1, 8, 1)) < 1.5 * temporary(make_mesh(8, 1, 1))

one_samples, one_losses, one = trained(make_mesh())
for shape in eval(sys.argv[1]):
  data, fsdp, tensor = shape
  samples, losses, state = trained(make_mesh(*shape))
  np.testing.assert_array_equal(samples.responses, one_samples.responses, err_msg=str(shape))
  np.testing.assert_allclose(samples.logps, one_samples.logps, atol=1e-5)
  assert len(samples.responses.addressable_shards[0].data) == 8 // (data * fsdp)
  np.testing.assert_allclose(losses, one_losses, rtol=1e-4, atol=1e-6, err_msg=str(shape))
  gradients, one_gradients = state.moments.mu["params"], one.moments.mu["params"]
  for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(one_gradients), strict=True):
    scale = np.abs(b).max()
    np.testing.assert_allclose(a, b, atol=1e-4 * scale, err_msg=f"{shape} {a.shape}")
  for tree in (state.params, state.moments.mu["params"], state.moments.nu["params"]):
    sizes = shard_sizes(tree)
    for name in ("embedding", "head", "layers/query", "layers/down", "layers/gate"):
      here, whole = sizes[name]
      assert here * fsdp * tensor == whole, (shape, name, sizes[name])
    here, whole = sizes["layers/key_bias"]
    assert here * tensor == whole
"""


@pytest.mark.slow
def test_eight_devices_in_any_mesh_train_and_sample_as_one():
  flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"
  environment = os.environ | {"XLA_FLAGS": flags}
  words = [sys.executable, "-c", ON_EIGHT_DEVICES, repr(MESHES)]
  done = subprocess.run(words, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-3000:]


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
