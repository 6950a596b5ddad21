"""The optimizers against optax's own, the schedules against numbers by hand, both in the update."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algorithms import dpo
from models import adapters
from models.partitioning import make_mesh
from tests.models.tiny import TINY, ragged_groups, tiny_params
from tests.training.test_update import OPTIMIZER, with_log_probs
from training.optimizer import (
  OPTIMIZERS,
  SCHEDULES,
  adamw,
  adamw_bf16,
  constant,
  cosine,
  descend,
  linear,
  muon,
  scheduled,
  sgd,
  wsd,
)
from training.records.checkpoints import Checkpoints
from training.records.run_folder import RunFolder
from training.state import new_state
from training.update import UpdateSpec, compiled_update

UNCLIPPED = OPTIMIZER | {"max_grad_norm": 1e9}
MATRICES = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def random_tree(seed):
  """Two networks as they are trained: stacked matrices, stacked norms, an embedding."""
  rng = np.random.default_rng(seed)
  shapes = {"query": (2, 6, 4), "down": (2, 3, 6), "norm": (2, 6)}
  normal = lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
  network = lambda: {  # noqa: E731
    "embedding": normal((7, 6)),
    "layers": {name: normal(shape) for name, shape in shapes.items()},
  }
  return {"params": network(), "critic": network()}


def descended(optimizer, schedule, numbers, steps=5):
  """The parameters after some steps of ours along gradients 1, 2, ..."""
  one = jax.jit(functools.partial(descend, optimizer, schedule))
  trained = random_tree(0)
  moments = optimizer().init(trained)
  for count in range(steps):
    trained, moments, _ = one(numbers, count, trained, moments, random_tree(count + 1))
  return trained


def of_optax(whole, steps=5):
  """The same of a whole optimizer of optax's."""
  trained = random_tree(0)
  state = whole.init(trained)
  for count in range(steps):
    updates, state = whole.update(random_tree(count + 1), state, trained)
    trained = optax.apply_updates(trained, updates)
  return trained


def assert_close(found, expected):
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


# --- optimizers -----------------------------------------------------------------------------------


def test_adamw_is_optaxs():
  numbers = UNCLIPPED | {"weight_decay": 0.1, "b1": 0.8, "b2": 0.9, "learning_rate": 0.01}
  ours = descended(adamw, constant, numbers)
  assert_close(ours, of_optax(optax.adamw(0.01, b1=0.8, b2=0.9, weight_decay=0.1)))


def test_a_first_moment_in_bfloat16_is_stored_so_and_makes_nearly_the_same_steps():
  kinds = [str(leaf.dtype) for leaf in jax.tree.leaves(adamw_bf16().init(random_tree(0)))]
  assert kinds.count("bfloat16") == kinds.count("float32") == len(kinds) // 2  # and the count
  numbers = UNCLIPPED | {"learning_rate": 0.01}
  ours, whole = (descended(one, constant, numbers) for one in (adamw_bf16, adamw))
  pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(whole), strict=True))
  assert any((a != b).any() for a, b in pairs)
  for a, b in pairs:  # five steps of about 0.01, each rounded to 1 in 256
    np.testing.assert_allclose(a, b, rtol=0, atol=5 * 0.01 / 128)


def test_sgd_is_optaxs():
  numbers = UNCLIPPED | {"momentum": 0.7, "learning_rate": 0.01}
  assert_close(descended(sgd, constant, numbers), of_optax(optax.sgd(0.01, momentum=0.7)))


def test_lion_is_optaxs():
  numbers = UNCLIPPED | {"weight_decay": 0.1, "b1": 0.8, "b2": 0.9, "learning_rate": 0.01}
  ours = descended(OPTIMIZERS["lion"], constant, numbers)
  assert_close(ours, of_optax(optax.lion(0.01, b1=0.8, b2=0.9, weight_decay=0.1)))


def test_muon_is_optaxs_for_each_matrix_of_a_stack_and_adam_for_the_rest():
  numbers = UNCLIPPED | {"weight_decay": 0.1, "momentum": 0.9, "learning_rate": 0.01}
  ours = descended(muon, constant, numbers)
  axes = jax.tree.map(lambda x: MATRICES if x.ndim == 3 else None, random_tree(0))
  of_matrices = optax.contrib.muon(
    0.01, beta=0.9, weight_decay=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=axes
  )
  of_the_rest = optax.adamw(0.01, b1=0.9, b2=0.95, weight_decay=0.1)
  expected = jax.tree.map(
    lambda x, y: x if x.ndim == 3 else y, of_optax(of_matrices), of_optax(of_the_rest)
  )
  assert_close(ours, expected)


def test_a_step_of_muon_is_about_as_long_as_adams():
  sizes = {"wide": (2, 16, 64), "tall": (2, 64, 16), "square": (2, 32, 32)}
  trees = [
    {n: jax.random.normal(jax.random.key(s + 9 * i), x) for i, (n, x) in enumerate(sizes.items())}
    for s in range(2)
  ]
  moments = muon().init(trees[0])
  for matrices in jax.tree.leaves(muon().update(trees[1], moments, trees[0])[0]):
    lengths = jnp.sqrt((matrices**2).mean(axis=(1, 2)))  # singular values lie about 1: 0.7 to 1.2
    assert (0.13 < lengths).all() and (lengths < 0.25).all(), matrices.shape


def test_adamw_gives_the_bits_of_its_formula():
  numbers = OPTIMIZER | {"weight_decay": 0.1, "warmup_steps": 2.0, "max_grad_norm": 0.5}

  def formula(numbers, step, trained, moments, gradient):
    warmup_steps = numbers["warmup_steps"]
    warmup = jnp.minimum(1.0, (step + 1) / jnp.maximum(warmup_steps, 1.0))
    left = jnp.maximum(numbers["steps"] - warmup_steps, 1.0)
    progress = jnp.clip((step - warmup_steps) / left, 0.0, 1.0)
    learning_rate = numbers["learning_rate"] * warmup * (0.5 * (1.0 + jnp.cos(jnp.pi * progress)))
    norm = optax.tree.norm(gradient)
    clip = jnp.minimum(1.0, numbers["max_grad_norm"] / jnp.maximum(norm, 1e-12))
    gradient = jax.tree.map(lambda g: g * clip, gradient)
    adam = optax.scale_by_adam(b1=numbers["b1"], b2=numbers["b2"])
    direction, moments = adam.update(gradient, moments, trained)
    decay = numbers["weight_decay"]
    moved = jax.tree.map(lambda p, d: p - learning_rate * (d + decay * p), trained, direction)
    return moved, moments

  one, trained = jax.jit(formula), random_tree(0)
  moments = optax.scale_by_adam().init(trained)
  for step in range(5):
    trained, moments = one(numbers, step, trained, moments, random_tree(step + 1))
  for a, b in zip(
    jax.tree.leaves(descended(adamw, cosine, numbers)), jax.tree.leaves(trained), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def test_the_gradient_is_clipped_by_the_norm_of_all_its_parts():
  numbers = OPTIMIZER | {"learning_rate": 1.0, "max_grad_norm": 2.0, "momentum": 0.0}
  start, gradient = random_tree(0), random_tree(1)
  moments = sgd().init(start)
  moved, _, metrics = descend(sgd, constant, numbers, jnp.int32(0), start, moments, gradient)
  step = jax.tree.map(jnp.subtract, start, moved)
  assert float(optax.tree.norm(step)) == pytest.approx(2.0, rel=1e-5)
  assert float(metrics["grad_norm"]) == pytest.approx(float(optax.tree.norm(gradient)))


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("schedule", "numbers", "rates"),
  [
    (constant, {}, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (linear, {}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
    (cosine, {}, [1, 0.975528, 0.904508, 0.793893, 0.654508, 0.5]),
    (wsd, {"decay_share": 0.4}, [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
    (wsd, {}, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]),
    (wsd, {"decay_share": 1.0}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
    (wsd, {"decay_share": 0.0}, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
  ],
)
def test_the_rates_of_ten_steps(schedule, numbers, rates):
  numbers = {"learning_rate": 2.0, "warmup_steps": 0.0, "steps": 10.0} | numbers
  found = [float(scheduled(jnp.int32(count), numbers, schedule)) for count in range(len(rates))]
  np.testing.assert_allclose(found, 2 * np.array(rates), rtol=1e-6)


@pytest.mark.parametrize(
  ("schedule", "whole"),
  [
    (linear, optax.linear_schedule(0.3, 0.0, 20)),
    (cosine, optax.cosine_decay_schedule(0.3, 20)),
  ],
)
def test_after_the_warm_up_a_schedule_is_optaxs(schedule, whole):
  numbers = {"learning_rate": 0.3, "warmup_steps": 5.0, "steps": 25.0}
  found = [float(scheduled(jnp.int32(5 + count), numbers, schedule)) for count in range(20)]
  np.testing.assert_allclose(found, [whole(count) for count in range(20)], atol=1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_begins_at_the_peak_that_the_warm_up_reaches(name):
  numbers = {"learning_rate": 1.0, "warmup_steps": 4.0, "steps": 8.0}
  rates = [float(scheduled(jnp.int32(count), numbers, SCHEDULES[name])) for count in range(5)]
  assert rates == [0.25, 0.5, 0.75, 1.0, 1.0]


# --- in the update --------------------------------------------------------------------------------

# Rates at which three steps of DPO on the tiny decoder go down.
RATES = {"adamw": 1e-3, "adamw_bf16": 1e-3, "sgd": 0.1, "lion": 3e-4, "muon": 3e-3}


@functools.cache
def groups():
  return with_log_probs(ragged_groups(), tiny_params(), tiny_params())


def numbers_of(name, **own):
  rate = {"learning_rate": RATES[name], "momentum": 0.9}
  return {"algorithm": {"beta": 1.0}, "temperature": 1.0, "optimizer": OPTIMIZER | rate | own}


def spec_of(name, mesh=None, model=TINY):
  return UpdateSpec(model, mesh or make_mesh(), dpo, optimizer=OPTIMIZERS[name], schedule=wsd)


def start_of(name, mesh=None, params=None):
  params = params or jax.tree.map(jnp.copy, tiny_params())
  return new_state(params, mesh or make_mesh(), optimizer=OPTIMIZERS[name])


def assert_same_bits(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


@every_optimizer
def test_it_trains_donates_and_resumes_with_the_same_bits(name, tmp_path):
  update, numbers = compiled_update(spec_of(name)), numbers_of(name)
  state, losses = start_of(name), []
  for step in range(1, 5):
    before = state
    state, metrics, _ = update(state, groups(), numbers)
    losses.append(float(metrics["loss"]))
    donated = jax.tree.leaves((before.params, before.moments))
    assert all(leaf.is_deleted() for leaf in donated if leaf.ndim)
    if step == 2:
      with Checkpoints(RunFolder(str(tmp_path))) as checkpoints:
        checkpoints.save(step, state, best_by=0.0)
  assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 1e-3

  with Checkpoints(RunFolder(str(tmp_path))) as checkpoints:
    resumed = checkpoints.restore(start_of(name))
  assert int(resumed.step) == 2
  for _ in range(2):
    resumed, *_ = update(resumed, groups(), numbers)
  assert_same_bits(resumed, state)


@every_optimizer
def test_its_own_numbers_and_the_schedules_compile_nothing_and_change_what_is_learned(name):
  traced = []

  def counted(*arrays):
    traced.append(1)
    return descend(OPTIMIZERS[name], wsd, *arrays)

  update = jax.jit(counted)
  usual = UNCLIPPED | dict.fromkeys(("momentum", "b1", "b2"), 0.9) | {"decay_share": 0.5}
  learned = []
  for number in (None, *inspect.signature(OPTIMIZERS[name]).parameters, "decay_share"):
    numbers = usual if number is None else usual | {number: 0.3}
    trained = random_tree(0)
    moments = OPTIMIZERS[name]().init(trained)
    for count in range(8):
      gradient = random_tree(count + 1)
      trained, moments, _ = update(numbers, jnp.int32(count), trained, moments, gradient)
    learned.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)]))
  assert len(traced) == 1
  assert len({row.tobytes() for row in learned}) == len(learned)


@every_optimizer
def test_eight_devices_step_as_one_and_hold_their_part_of_the_moments(name):
  states = []
  for mesh in (make_mesh(), make_mesh(2, 2, 2)):
    state, *_ = compiled_update(spec_of(name, mesh))(
      start_of(name, mesh), groups(), numbers_of(name)
    )
    states.append(state)
  one, eight = states
  for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(eight.params), strict=True):
    np.testing.assert_allclose(b, a, atol=0.1 * RATES[name])
  stacks = [leaf for leaf in jax.tree.leaves(eight.moments) if leaf.ndim == 3]
  assert stacks
  assert all(leaf.addressable_shards[0].data.size * 4 == leaf.size for leaf in stacks)


@every_optimizer
def test_adapters_alone_are_moved_and_have_moments(name):
  model = dataclasses.replace(TINY, lora_rank=2)
  plain = jax.tree.map(jnp.copy, tiny_params())
  params = jax.jit(adapters.add, static_argnums=0)(model, plain, jax.random.key(5))
  state = start_of(name, params=params)
  before = jax.tree.map(np.array, state.params)
  for _ in range(2):
    state, *_ = compiled_update(spec_of(name, model=model))(state, groups(), numbers_of(name))
  moved = {
    leaf for leaf, x in state.params["layers"].items() if (x != before["layers"][leaf]).any()
  }
  assert moved == {f"{leaf}_{kind}" for leaf in adapters.LINEAR for kind in "ab"}
  shapes = {leaf.shape for leaf in jax.tree.leaves(state.moments) if leaf.ndim > 1}
  assert shapes == {before["layers"][leaf].shape for leaf in moved}


def test_members_of_a_population_step_as_each_by_itself():
  update = compiled_update(spec_of("muon"))
  states = [start_of("muon", params=tiny_params(seed=seed)) for seed in (0, 1)]
  numbers = [numbers_of("muon", momentum=momentum) for momentum in (0.9, 0.5)]
  stack = lambda *trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
  together, *_ = jax.jit(jax.vmap(update.function, in_axes=(0, None, 0)))(
    stack(*states), groups(), stack(*numbers)
  )
  for i, (state, own) in enumerate(zip(states, numbers, strict=True)):
    alone, *_ = update(state, groups(), own)
    for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
      np.testing.assert_allclose(a[i], b, atol=0.01 * RATES["muon"])
