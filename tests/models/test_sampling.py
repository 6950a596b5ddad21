import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.groups import Groups
from models.log_probs import token_log_probs
from models.sampling import Sampler, restrict, sample
from models.transformer import bind
from tests.models.tiny import EOS, PAD, TINY, ragged_groups, tiny_params

draw = jax.jit(sample, static_argnums=(0, 5))
SAMPLER = Sampler(max_tokens=12, eos_id=EOS, pad_id=PAD, group_size=4)
GREEDY = dataclasses.replace(SAMPLER, group_size=1, greedy=True)


def drawn(sampler=SAMPLER, temperature=1.0, seed=0, groups=None):
  groups = groups or ragged_groups()
  key = jax.random.key(seed)
  return draw(TINY, tiny_params(), groups.prompts, groups.prompt_mask, key, sampler, temperature)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
@pytest.mark.parametrize("sampler", [SAMPLER, dataclasses.replace(SAMPLER, top_k=3), GREEDY])
def test_the_samplers_log_probs_are_the_trainers(sampler, temperature):
  prompts = ragged_groups()
  samples = drawn(sampler, temperature)
  groups = Groups(
    prompts.prompts,
    prompts.prompt_mask,
    samples.responses,
    samples.mask,
    jnp.zeros(samples.finished.shape),
  )
  logps, _ = token_log_probs(TINY, tiny_params(), groups, temperature)
  np.testing.assert_allclose(samples.logps[samples.mask], logps[samples.mask], atol=1e-5)


def test_a_response_ends_with_its_only_eos_and_padding_follows():
  samples = drawn(temperature=3.0)
  responses, mask, finished = (
    np.asarray(x) for x in (samples.responses, samples.mask, samples.finished)
  )
  assert finished.any() and not finished.all()
  assert ((responses == EOS).sum(-1) == finished).all()
  assert (responses[~mask] == PAD).all()
  assert (np.asarray(samples.logps)[~mask] == 0).all()
  lengths = mask.sum(-1)
  last = np.take_along_axis(responses, lengths[..., None] - 1, -1)[..., 0]
  assert ((last == EOS) == finished).all()
  assert (lengths[~finished] == 12).all()
  assert (np.diff(mask.astype(int), axis=-1) <= 0).all()


def test_greedy_takes_the_likeliest_token_each_time_whatever_the_padding():
  groups = ragged_groups()
  samples = drawn(GREEDY)
  prompt = groups.prompts[0][groups.prompt_mask[0]].tolist()
  text = samples.responses[0, 0][samples.mask[0, 0]].tolist()
  tokens = jnp.asarray([prompt + text])
  decoder = bind(TINY, tiny_params())
  logits = decoder.logits(decoder.read(tokens, jnp.ones(tokens.shape, bool))[0])
  assert logits[0, len(prompt) - 1 : -1].argmax(-1).tolist() == text
  padded = dataclasses.replace(
    groups,
    prompts=jnp.pad(groups.prompts, ((0, 0), (7, 0))),
    prompt_mask=jnp.pad(groups.prompt_mask, ((0, 0), (7, 0))),
  )
  np.testing.assert_array_equal(drawn(GREEDY, groups=padded).responses, samples.responses)


def test_samples_follow_the_distribution():
  """The frequencies of first tokens over 4000 draws, against the probabilities."""
  groups = jax.tree.map(lambda x: x[:1], ragged_groups())
  many = dataclasses.replace(SAMPLER, group_size=4000, max_tokens=1)
  first = np.asarray(drawn(many, groups=groups).responses)[0, :, 0]
  decoder = bind(TINY, tiny_params())
  hidden, _ = decoder.read(groups.prompts, groups.prompt_mask)
  p = np.asarray(jax.nn.softmax(decoder.logits(hidden[0, -1])))
  frequencies = np.bincount(first, minlength=24) / 4000
  assert np.abs(frequencies - p).max() < 4 * np.sqrt(0.25 / 4000)


def test_the_same_key_draws_the_same_and_responses_of_a_group_differ():
  one, same, other = drawn(seed=0), drawn(seed=0), drawn(seed=1)
  np.testing.assert_array_equal(one.responses, same.responses)
  assert (one.responses != other.responses).any()
  assert (one.responses[:, 0] != one.responses[:, 1]).any()


def test_top_k_and_top_p_keep_the_likeliest_tokens():
  log_p = jnp.log(jnp.array([0.1, 0.5, 0.15, 0.25]))
  kept = lambda **options: jnp.isfinite(restrict(log_p, dataclasses.replace(SAMPLER, **options)))  # noqa: E731
  np.testing.assert_array_equal(kept(top_k=2), [False, True, False, True])
  np.testing.assert_array_equal(kept(top_p=0.5), [False, True, False, False])
  np.testing.assert_array_equal(kept(top_p=0.6), [False, True, False, True])
  np.testing.assert_array_equal(kept(top_k=2, top_p=0.7), [False, True, False, True])
  np.testing.assert_array_equal(kept(), [True] * 4)
