import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import decoding
from models.groups import Groups
from models.log_probs import token_log_probs
from models.sampler import OfRows, Sampler, restrict
from models.sampler import draw as draw_token
from models.sampling import sample
from models.transformer import bind
from tests.models.tiny import EOS, GEMMA3, OLMO3, PAD, TINY, ragged_groups, tiny_params

draw = jax.jit(sample, static_argnums=(0, 5))
score = jax.jit(token_log_probs, static_argnums=0)
SAMPLER = Sampler(max_tokens=12, eos_ids=(EOS,), pad_id=PAD, group_size=4)
GREEDY = dataclasses.replace(SAMPLER, group_size=1, greedy=True)


def drawn(sampler=SAMPLER, temperature=1.0, seed=0, groups=None, model=TINY):
  groups = groups or ragged_groups()
  prompts, key = (groups.prompts, groups.prompt_mask), jax.random.key(seed)
  return draw(model, tiny_params(model), *prompts, key, sampler, temperature)


@pytest.mark.parametrize(
  ("model", "sampler", "temperature"),
  [
    *itertools.product(
      [TINY], [SAMPLER, dataclasses.replace(SAMPLER, top_k=3), GREEDY], [1.0, 0.6, 1.7]
    ),
    *itertools.product([OLMO3, GEMMA3], [SAMPLER], [0.6]),
  ],
)
def test_the_samplers_log_probs_are_the_trainers(model, sampler, temperature):
  prompts = ragged_groups()
  samples = drawn(sampler, temperature, model=model)
  groups = Groups(
    prompts.prompts,
    prompts.prompt_mask,
    samples.responses,
    samples.mask,
    jnp.zeros(samples.finished.shape),
  )
  logps, _ = score(model, tiny_params(model), groups, temperature)
  np.testing.assert_allclose(samples.logps[samples.mask], logps[samples.mask], atol=1e-5)


@pytest.mark.parametrize("ends", [(EOS,), (EOS, 7)])
def test_a_response_ends_with_its_only_end_and_padding_follows(ends):
  samples = drawn(dataclasses.replace(SAMPLER, eos_ids=ends), temperature=3.0)
  responses, mask, finished = (
    np.asarray(x) for x in (samples.responses, samples.mask, samples.finished)
  )
  assert finished.any() and not finished.all()
  assert all((responses == end).any() for end in ends)
  assert (np.isin(responses, ends).sum(-1) == finished).all()
  assert (responses[~mask] == PAD).all()
  assert (np.asarray(samples.logps)[~mask] == 0).all()
  lengths = mask.sum(-1)
  last = np.take_along_axis(responses, lengths[..., None] - 1, -1)[..., 0]
  assert (np.isin(last, ends) == finished).all()
  assert (lengths[~finished] == 12).all()
  assert (np.diff(mask.astype(int), axis=-1) <= 0).all()


def test_greedy_takes_the_likeliest_token_each_time_whatever_the_padding():
  groups = ragged_groups()
  samples = drawn(GREEDY)
  prompt = groups.prompts[0][groups.prompt_mask[0]].tolist()
  text = samples.responses[0, 0][samples.mask[0, 0]].tolist()
  tokens = jnp.asarray([prompt + text])
  decoder = bind(TINY, tiny_params())
  logits = decoder.logits(decoder.read(tokens, jnp.ones(tokens.shape, bool)))
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
  hidden = decoder.read(groups.prompts, groups.prompt_mask)
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


@pytest.mark.parametrize("options", [{"top_k": 1}, {"prompts_at_once": 1}])
def test_what_was_drawn_has_log_probs_of_its_own(options):
  samples = drawn(dataclasses.replace(SAMPLER, top_p=0.9, **options))
  kept = np.exp(samples.logps - samples.drawn_logps)[samples.mask]  # probability of what was kept
  assert (kept <= 1 + 1e-5).all() and kept.min() < 0.99
  assert kept.min() >= 0.9 - 1e-5 or "top_k" in options
  assert (np.asarray(samples.drawn_logps)[~samples.mask] == 0).all()
  if "top_k" in options:  # there was no choice
    np.testing.assert_allclose(samples.drawn_logps, 0, atol=1e-6)
  assert drawn().drawn_logps is None


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_prompts_decoded_in_parts_draw_the_same(at_once):
  whole = drawn()
  in_parts = drawn(dataclasses.replace(SAMPLER, prompts_at_once=at_once))
  np.testing.assert_array_equal(in_parts.responses, whole.responses)
  np.testing.assert_allclose(in_parts.logps, whole.logps, atol=1e-5)


def test_what_a_row_draws_does_not_depend_on_the_others():
  groups = ragged_groups()
  other = jax.tree.map(lambda x: x.at[1:].set(jnp.roll(x, 1, axis=0)[1:]), groups)
  first, same = drawn(groups=groups), drawn(groups=other)
  np.testing.assert_array_equal(first.responses[0], same.responses[0])


def test_a_token_without_probability_is_never_drawn():
  logits = jnp.where(jnp.arange(200) % 3 == 1, jnp.sin(jnp.arange(200.0)), -jnp.inf)
  uniform = jnp.concatenate([jnp.linspace(0, 1, 3001)[:-1], jnp.array([1 - 2**-24])])
  tokens = np.asarray(draw_token(jnp.broadcast_to(logits, (3001, 200)), uniform))
  assert (tokens % 3 == 1).all() and (np.diff(tokens) >= 0).all()
  frequencies = np.bincount(tokens, minlength=200) / 3001
  np.testing.assert_allclose(frequencies, jax.nn.softmax(logits), atol=1e-3)


# --- rows with numbers of their own ---------------------------------------------------------------


def drawn_by_rows(seeds, temperature, top_p=None, groups=None):
  """(tokens, log-probs, log-probs of what was drawn from), one response a row."""
  groups = groups or ragged_groups()
  sampler = dataclasses.replace(SAMPLER, group_size=1)
  keys = jax.vmap(jax.random.key)(jnp.array(seeds))
  numbers = OfRows(*(x if x is None else jnp.array(x, jnp.float32) for x in (temperature, top_p)))

  @jax.jit
  def run(prompts, mask):
    about = keys, sampler, numbers
    begun = decoding.begin(
      TINY, tiny_params(TINY), prompts, mask, jnp.arange(len(prompts)), *about, SAMPLER.max_tokens
    )
    return decoding.decode(TINY, tiny_params(TINY), begun, *about)

  drawing = run(groups.prompts, groups.prompt_mask)
  return drawing.responses[:, 0], drawing.logps[0][:, 0], drawing.logps[-1][:, 0]


def test_a_row_with_a_key_of_its_own_draws_the_same_wherever_it_stands():
  groups = ragged_groups()
  rows = range(len(groups.prompts))
  seeds, warm = [7 + row for row in rows], [0.5 + 0.3 * row for row in rows]
  tokens, logps, _ = drawn_by_rows(seeds, warm)
  turned = jax.tree.map(lambda x: x if x is None else x[::-1], groups)
  tokens_turned, logps_turned, _ = drawn_by_rows(seeds[::-1], warm[::-1], groups=turned)
  np.testing.assert_array_equal(tokens, tokens_turned[::-1])
  np.testing.assert_allclose(logps, logps_turned[::-1], atol=1e-5)
  assert len(np.unique(np.asarray(tokens), axis=0)) > 1


def test_a_row_at_temperature_0_has_the_likeliest_tokens_and_their_log_probs_at_1():
  n = len(ragged_groups().prompts)
  tokens, logps, _ = drawn_by_rows(range(n), [0.0] * n)
  greedy = drawn(GREEDY)
  np.testing.assert_array_equal(tokens, greedy.responses[:, 0])
  np.testing.assert_allclose(logps, greedy.logps[:, 0], atol=1e-5)


def test_rows_of_one_top_p_draw_from_what_the_sampler_of_that_top_p_draws_from():
  n = len(ragged_groups().prompts)
  tokens, logps, of_drawn = drawn_by_rows(range(n), [1.3] * n, [0.4] * n)
  plain, plain_logps, _ = drawn_by_rows(range(n), [1.3] * n, [1.0] * n)
  same, same_logps, same_drawn = drawn_by_rows(range(n), [1.3] * n)
  np.testing.assert_array_equal(plain, same)
  np.testing.assert_array_equal(same_logps, same_drawn)
  np.testing.assert_allclose(plain_logps, same_logps, atol=1e-5)
  assert (of_drawn >= logps - 1e-6).all() and (of_drawn > logps + 0.1).any()
  assert (tokens != plain).any()
