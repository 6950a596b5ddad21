"""Packed rows give what padded groups give, for every output, model and loss."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.peers import lengths as real
from models import packing, scalar_head
from models.log_probs import token_outputs
from tests.algorithms.groups import cases, terms
from tests.models.test_log_probs import every_model
from tests.models.tiny import TINY, ragged_groups, tiny_params
from training.update import loss_arrays


def laid_out(groups, chunks=1):
  lengths = np.asarray(groups.prompt_mask).sum(-1), np.asarray(groups.mask).sum(-1)
  p, t = groups.prompts.shape[-1], groups.responses.shape[-1]
  return dataclasses.replace(groups, layout=packing.lay_out(*lengths, p, t, chunks))


@pytest.fixture(params=[128, 4], ids=["one row", "rows that split groups"])
def step(request, monkeypatch):
  monkeypatch.setattr(packing, "STEP", request.param)
  return request.param


def texts_in(layout, groups, chunk, size):
  """(group, response) -> its prompt and itself, as the layout has them; response -1: no other."""
  b = len(groups.prompts)
  tokens = np.concatenate([groups.prompts, np.asarray(groups.responses).reshape(b, -1)], axis=1)
  tokens = tokens.reshape(b // size, -1)[chunk]
  found = {}
  for row in range(layout.source.shape[1]):
    source, of, response = (x[chunk, row] for x in (layout.source, layout.prompt, layout.response))
    for number in range(1, of.max(initial=0) + 1):
      prompt = (of == number) & (response == 0)
      group = source[prompt][0] // tokens.reshape(size, -1).shape[1]
      assert (np.diff(np.flatnonzero(prompt)) == 1).all()
      for k in np.unique(response[of == number]):
        own = (of == number) & (response == k) if k else prompt
        read = np.concatenate([tokens[source[prompt]], tokens[source[own]] if k else []])
        position = np.concatenate(
          [layout.position[chunk, row][prompt], layout.position[chunk, row][own] if k else []]
        )
        np.testing.assert_array_equal(position, np.arange(len(position)))
        assert (group, k - 1) not in found or k == 0  # a response is read once
        found[group, k - 1] = read
  return found


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_token_is_in_the_rows_once_after_its_own_prompt(step, seed, chunks):
  groups = ragged_groups(seed, b=8, k=3)
  layout, size = laid_out(groups, chunks).layout, 8 // chunks
  for chunk in range(chunks):
    found = texts_in(layout, groups, chunk, size)
    for group in range(size):
      b = chunk * size + group
      prompt = np.asarray(groups.prompts[b])[np.asarray(groups.prompt_mask[b])]
      for k in range(3):
        response = np.asarray(groups.responses[b, k])[np.asarray(groups.mask[b, k])]
        np.testing.assert_array_equal(found[group, k], [*prompt, *response])


@functools.partial(jax.jit, static_argnums=0)
def all_outputs(model, params, critic, groups):
  outputs = token_outputs(model, params, groups, 0.7)
  outputs["values"] = scalar_head.token_values(model, critic, groups)
  return outputs | {"scores": scalar_head.response_scores(model, critic, groups)}


def critic_of(model):
  critic = scalar_head.with_scalar_head(tiny_params(model, seed=1))
  head = jax.random.normal(jax.random.key(2), critic[scalar_head.HEAD].shape)
  return critic | {scalar_head.HEAD: head}


def at_tokens(groups, name, x):
  return np.asarray(x) if name == "scores" else np.where(groups.mask, x, 0)


@every_model
def test_outputs_are_those_of_padded_groups(model, step):
  groups = ragged_groups(b=4, k=3)
  params, critic = tiny_params(model), critic_of(model)
  padded, packed = (all_outputs(model, params, critic, g) for g in (groups, laid_out(groups, 2)))
  for name, x in padded.items():
    expected, found = (at_tokens(groups, name, y) for y in (x, packed[name]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_responses_that_are_left_out_are_not_read_and_disturb_none(step):
  groups = ragged_groups(b=4, k=3)
  groups = dataclasses.replace(groups, mask=groups.mask.at[0].set(False).at[1, 1].set(False))
  params, critic = tiny_params(), critic_of(TINY)
  padded, packed = (all_outputs(TINY, params, critic, g) for g in (groups, laid_out(groups)))
  assert (
    laid_out(groups).layout.predicted.size <= laid_out(ragged_groups(b=4, k=3)).layout.place.max()
  )
  for name, x in padded.items():
    expected, found = (at_tokens(groups, name, y) for y in (x, packed[name]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
  "model", [TINY, dataclasses.replace(TINY, remat="none", logits_at_once=99)]
)
def test_gradients_are_those_of_padded_groups(model, step):
  groups = ragged_groups(b=4, k=3)
  keys = iter(jax.random.split(jax.random.key(3), 8))

  @jax.jit
  def gradient(params, critic, groups, weights):
    def weighted(params, critic):
      found = all_outputs(model, params, critic, groups)
      return sum((weights[name] * x).sum() for name, x in found.items())

    return jax.grad(weighted, argnums=(0, 1))(params, critic)

  params, critic = tiny_params(), critic_of(TINY)
  shapes = jax.eval_shape(functools.partial(all_outputs, model), params, critic, groups)
  weights = {name: jax.random.normal(next(keys), x.shape) for name, x in shapes.items()}
  weights = {k: w if k == "scores" else jnp.where(groups.mask, w, 0) for k, w in weights.items()}
  padded, packed = (
    gradient(params, critic, g, weights) for g in (groups, laid_out(groups, chunks=2))
  )
  for x, y in zip(jax.tree.leaves(padded), jax.tree.leaves(packed), strict=True):
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-5 * float(jnp.abs(x).max()) + 1e-7)


@functools.cache
def scored(packed):
  """Groups with every array that a loss may name, and the policy's, all read padded or packed."""
  from tests.training.test_update import bigram_groups

  groups = bigram_groups()
  read = laid_out(groups) if packed else groups
  outputs = all_outputs(TINY, tiny_params(), critic_of(TINY), read)
  other = all_outputs(TINY, tiny_params(seed=3), critic_of(TINY), read)
  given = {"old_logps": other["logps"], "ref_logps": other["logps"], "old_values": other["values"]}
  return dataclasses.replace(groups, **given, sampler_logps=other["logps"] - 0.01), outputs


@pytest.mark.parametrize(
  ("loss", "options"), [case[1:] for case in cases()], ids=[case[0] for case in cases()]
)
def test_every_loss_is_the_same(loss, options):
  found = []
  for packed in (False, True):
    groups, outputs = scored(packed)
    wanted, given = loss_arrays(loss, groups)

    def loss_of(outputs, given=given):
      return loss(**outputs, **given, **options, **terms(loss))[0]

    outputs = {name: outputs[name] for name in wanted}
    found.append(jax.value_and_grad(loss_of)(outputs))
  (value, slopes), (packed_value, packed_slopes) = found
  np.testing.assert_allclose(packed_value, value, rtol=1e-5, atol=1e-6)
  for name, slope in slopes.items():
    expected, got = (at_tokens(groups, name, x) for x in (slope, packed_slopes[name]))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6 + 1e-5 * np.abs(expected).max())


def test_the_ladder_has_few_steps():
  steps = sorted({packing.on_ladder(n) for n in range(1, 65)})
  assert steps == [1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 37, 49, 65]
  assert all(packing.on_ladder(n) >= n for n in range(1, 1000))


def test_real_lengths_need_few_programs():
  """Of pairs drawn as people's are, in small batches, whose sums vary most."""
  prompts, chosen, rejected = (
    np.array(real.drawn(quantiles, 888, seed))
    for seed, quantiles in enumerate(
      (real.PANDALM_PROMPTS, real.PANDALM_CHOSEN, real.PANDALM_REJECTED)
    )
  )
  pairs, found = np.stack([chosen, rejected], axis=1), set()
  for batch in np.split(np.random.default_rng(0).permutation(888), 111):
    layout = packing.lay_out(prompts[batch], pairs[batch], 395, 305)
    found.add((layout.source.shape, layout.predicted.shape))
  assert len(found) <= 16
