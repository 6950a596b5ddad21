"""The jitted step: exact micro-batches, one compilation, sharding, identities on parameters."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES, dpo, grpo, off_policy_grpo, offline_grpo
from algorithms.shapes import COMPUTED, VOCABULARY
from models.groups import Groups
from models.partitioning import batch_sharding, make_mesh
from tests.algorithms.groups import cases, evaluate_all, random_groups, terms
from tests.models.tiny import TINY, log_probs, ragged_groups, tiny_params
from training import update
from training.state import TrainState, new_state
from training.update import UpdateSpec, compiled_update, loss_arrays, loss_gradient, through_network

OPTIMIZER = {
  "learning_rate": 1e-3,
  "warmup_steps": 0.0,
  "weight_decay": 0.0,
  "max_grad_norm": 1.0,
  "b1": 0.9,
  "b2": 0.95,
  "steps": 10.0,
}
NAMED = {name: (loss, options) for name, loss, options in cases()}
every_loss = pytest.mark.parametrize(("loss", "options"), NAMED.values(), ids=NAMED.keys())


def with_log_probs(groups, reference, old):
  """The groups with the log-probs of two policies, as reference and behaviour policy."""
  ref_logps, old_logps = (log_probs(TINY, p, groups) for p in (reference, old))
  return dataclasses.replace(groups, ref_logps=ref_logps, old_logps=old_logps)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(spec, params, groups, numbers):
  state = TrainState(params, None, 0)
  return loss_gradient(spec, state, groups, {"algorithm": numbers, "temperature": 1.0})


def gradient(loss, groups, options, params=None, micro_batches=1):
  static = tuple((k, v) for k, v in options.items() if isinstance(v, str))
  numbers = {k: v for k, v in options.items() if not isinstance(v, str)}
  spec = UpdateSpec(TINY, make_mesh(), loss, static, micro_batches=micro_batches)
  return _gradient(spec, params or tiny_params(), groups, numbers)


def vector(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]).astype(np.float64)


def cosine(a, b):
  return a @ b / np.sqrt((a @ a) * (b @ b))


def bigrams(params, groups):
  """Networks that compile at once: the next token depends on the last one only."""
  last = jnp.roll(groups.responses, 1, axis=-1)
  log_p = jax.nn.log_softmax(params["table"][last])
  outputs = {
    "logps": jnp.take_along_axis(log_p, groups.responses[..., None], axis=-1)[..., 0],
    "entropy": -(jnp.exp(log_p) * log_p).sum(axis=-1),
    "log_sum_sq_probs": jax.nn.logsumexp(2 * log_p, axis=-1),
    "values": params["values"][last],
    "scores": params["scores"][groups.responses].mean(axis=-1),
  }
  return outputs, {}


def bigram_params(seed):
  keys = jax.random.split(jax.random.key(seed), 3)
  shapes = {"table": (24, 24), "values": (24,), "scores": (24,)}
  return {
    name: jax.random.normal(key, shapes[name]) for name, key in zip(shapes, keys, strict=True)
  }


@functools.cache
def bigram_groups():
  """Groups with every array that a loss may ask for, the policies all different."""
  groups = ragged_groups()
  others = [bigrams(bigram_params(seed), groups)[0] for seed in range(1, 4)]
  words = ("ref_logps", "old_logps", "sampler_logps")
  given = {word: other["logps"] for word, other in zip(words, others, strict=True)}
  scored = random_groups(b=8, k=2)
  words = ("rewards", "reward_parts", "reward_baseline")
  words += ("greedy_rewards", "reference_rewards", "by_reference")
  given |= {word: scored[word] for word in words}
  return dataclasses.replace(groups, old_values=others[0]["values"], **given)


def test_every_word_of_the_vocabulary_is_computed_or_comes_with_the_groups():
  assert bigrams(bigram_params(0), ragged_groups())[0].keys() == {*COMPUTED}
  fields = {field.name for field in dataclasses.fields(Groups)}
  assert VOCABULARY.keys() - {*COMPUTED} <= fields


PASSES = {1: update._whole} | {n: update._in_micro_batches(n, shards=1) for n in (2, 4)}
# Through the network, forward and backward, compiled once for all losses; the loss itself is eager.
COMPILED = {n: tuple(jax.jit(f, static_argnums=0) for f in passes) for n, passes in PASSES.items()}


@every_loss
def test_micro_batches_give_the_gradient_of_the_whole_batch(loss, options, monkeypatch):
  monkeypatch.setattr(update, "_whole", COMPILED[1])
  monkeypatch.setattr(update, "_in_micro_batches", lambda n, shards: COMPILED[n])
  wanted, given = loss_arrays(loss, bigram_groups())

  def loss_of(outputs):
    return loss(**{word: outputs[word] for word in wanted}, **given, **options, **terms(loss))

  def run(n):
    return through_network(bigrams, loss_of, bigram_params(0), bigram_groups(), n)[::2]

  whole, metrics = run(1)
  assert max(jnp.abs(x).max() for x in whole.values()) > 0
  for parts, part_metrics in (run(2), run(4)):
    for name, slope in whole.items():
      atol = 1e-6 * float(jnp.abs(slope).max())
      np.testing.assert_allclose(parts[name], slope, rtol=0, atol=atol, equal_nan=False)
    for name, value in metrics.items():
      np.testing.assert_allclose(part_metrics[name], value, rtol=1e-5, atol=1e-6, equal_nan=False)


def test_micro_batches_of_the_transformer_give_its_whole_gradient():
  groups = with_log_probs(ragged_groups(), tiny_params(seed=1), tiny_params(seed=2))
  whole, metrics, weights = gradient(grpo, groups, {"beta": 0.1})
  parts, part_metrics, part_weights = gradient(grpo, groups, {"beta": 0.1}, micro_batches=4)
  scale = np.abs(vector(whole)).max()
  np.testing.assert_allclose(vector(parts), vector(whole), atol=2e-6 * scale)
  for name, value in metrics.items():
    np.testing.assert_allclose(part_metrics[name], value, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(part_weights, weights, rtol=1e-5, atol=1e-6)


def test_the_weights_are_implied_rewards_as_large_as_advantages():
  groups = with_log_probs(ragged_groups(), tiny_params(), tiny_params())  # rewards (0, 1)
  weights = gradient(dpo, groups, {"beta": 0.5})[2]  # beta sigmoid(-margin) a pair, margin 0
  np.testing.assert_allclose(weights, np.tile([-0.5, 0.5], (8, 1)), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_on_parameters_dpos_gradient_is_beta_times_off_policy_grpos_at_the_reference(beta):
  groups = with_log_probs(ragged_groups(), tiny_params(), tiny_params())
  grpo_gradient = vector(gradient(off_policy_grpo, groups, {"ratio": "sequence"})[0])
  dpo_gradient = vector(gradient(dpo, groups, {"beta": beta})[0])
  assert cosine(dpo_gradient, grpo_gradient) > 1 - 1e-6
  ratio = np.linalg.norm(dpo_gradient) / np.linalg.norm(grpo_gradient)
  np.testing.assert_allclose(ratio, beta * 0.5001 / 0.5, rtol=1e-5)  # eps beside GRPO's std


@pytest.mark.parametrize("seed", range(3))
def test_on_parameters_offline_grpo_with_dpo_weights_has_dpos_gradient(seed):
  groups = with_log_probs(ragged_groups(seed), tiny_params(seed=9), tiny_params())
  params = tiny_params(seed=seed)
  dpo_gradient = vector(gradient(dpo, groups, {"beta": 0.3}, params)[0])
  weights = {"weights": "dpo", "beta": 0.3}
  grpo_gradient = vector(gradient(offline_grpo, groups, weights, params)[0])
  np.testing.assert_allclose(grpo_gradient, dpo_gradient, atol=1e-6 * np.abs(dpo_gradient).max())


def test_a_new_number_compiles_nothing_and_changes_the_result():
  spec = UpdateSpec(TINY, make_mesh(), dpo)
  update = compiled_update(spec)
  assert compiled_update(UpdateSpec(TINY, make_mesh(), dpo)) is update
  groups = with_log_probs(ragged_groups(), tiny_params(seed=1), tiny_params(seed=1))
  losses = []
  for beta, learning_rate in ((0.1, 1e-3), (0.2, 1e-3), (0.2, 1e-2)):
    numbers = {"algorithm": {"beta": beta, "label_smoothing": 0.0}, "temperature": 1.0}
    numbers["optimizer"] = OPTIMIZER | {"learning_rate": learning_rate}
    state, metrics, _ = update(new_state(tiny_params(), spec.mesh), groups, numbers)
    losses.append((float(metrics["loss"]), float(jnp.abs(state.params["embedding"]).sum())))
  assert getattr(update.for_a_single_run, "_cache_size")() <= 1  # noqa: B009  (private; jax may drop it)
  assert len(set(losses)) == 3


def test_the_reference_stays_while_the_policy_trains():
  spec = UpdateSpec(TINY, make_mesh(), grpo)
  reference = tiny_params()
  before = jax.tree.map(np.array, reference)
  state = new_state(reference, spec.mesh)
  groups = with_log_probs(ragged_groups(), reference, reference)
  numbers = {"algorithm": {}, "temperature": 1.0, "optimizer": OPTIMIZER}
  for _ in range(3):
    state, *_ = compiled_update(spec)(state, groups, numbers)
  assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), before, reference))
  assert not jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), before, state.params))


def test_the_ratio_is_one_on_the_first_inner_step_only():
  spec = UpdateSpec(TINY, make_mesh(), grpo)
  state = new_state(tiny_params(), spec.mesh)
  groups = with_log_probs(ragged_groups(), tiny_params(), tiny_params())
  numbers = {"algorithm": {}, "temperature": 1.0, "optimizer": OPTIMIZER}
  ratios = []
  for _ in range(2):
    state, metrics, _ = compiled_update(spec)(state, groups, numbers)
    ratios.append(float(metrics["ratio/mean"]))
    assert metrics["grad_norm"] > 1e-3
  assert ratios[0] == pytest.approx(1, abs=1e-6)
  assert ratios[1] != pytest.approx(1, abs=1e-6)


def test_every_loss_gives_on_arrays_split_over_devices_what_it_gives_on_one():
  @jax.jit
  def evaluated(arrays):
    return {name: evaluate_all(loss, arrays, terms(loss)) for name, loss in LOSSES.items()}

  arrays = random_groups(b=8)
  split = jax.device_put(arrays, batch_sharding(make_mesh(2, 2, 2)))
  one, four = evaluated(arrays), evaluated(split)
  for name in LOSSES:
    for a, b in zip(jax.tree.leaves(one[name]), jax.tree.leaves(four[name]), strict=True):
      # Whitened advantages add up to about 0: what is left of them has fewer digits.
      np.testing.assert_allclose(b, a, rtol=1e-5, atol=3e-7, err_msg=name)
