import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.groups import Groups
from models.log_probs import OUTPUTS, of_logits, token_log_probs, token_outputs
from models.transformer import bind
from tests.models.tiny import GEMMA3, OLMO3, PAD, TINY, ragged_groups, tiny_params

score = jax.jit(token_log_probs, static_argnums=0)
MODELS = {
  "as configured": TINY,
  "untied head, no q/k-norm": dataclasses.replace(TINY, tied=False, qk_norm=False),
  "one key head a query head": dataclasses.replace(TINY, kv_heads=4),
  "jax's own attention": dataclasses.replace(TINY, attention="xla"),
  "norms after, a window, YaRN": OLMO3,
  "norms before and after, a window": GEMMA3,
  "a window in jax's own attention": dataclasses.replace(OLMO3, attention="xla"),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


@functools.partial(jax.jit, static_argnums=0)
def plain_logits(model, params, tokens):
  decoder = bind(model, params)
  return decoder.logits(decoder.read(tokens, jnp.ones(tokens.shape, bool)))


def plain_log_probs(model, params, prompt, response):
  """The unshared way: one concatenated sequence, causal attention, log-softmax by hand."""
  tokens = [*prompt, *response]
  padded = jnp.asarray([tokens + [PAD] * (16 - len(tokens))])  # on the right: causality hides it
  logits = np.asarray(plain_logits(model, params, padded))[0].astype(np.float64)
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  at = len(prompt) - 1 + np.arange(len(response))  # position t is predicted from t-1
  return log_p[at, np.asarray(response)], -(np.exp(log_p[at]) * log_p[at]).sum(-1)


@every_model
def test_shared_prompt_log_probs_are_the_plain_ones_of_concatenated_sequences(model):
  params, groups = tiny_params(model), ragged_groups(b=4)
  logps, entropy = score(model, params, groups)
  for b in range(4):
    prompt = groups.prompts[b][groups.prompt_mask[b]].tolist()
    for k in range(2):
      mask = np.asarray(groups.mask[b, k])
      response = groups.responses[b, k][mask].tolist()
      plain, plain_entropy = plain_log_probs(model, params, prompt, response)
      np.testing.assert_allclose(logps[b, k][mask], plain, atol=1e-5)
      np.testing.assert_allclose(entropy[b, k][mask], plain_entropy, atol=1e-5)


@pytest.mark.parametrize("p, t", [(6, 5), (6, 6), (7, 5), (7, 6)])
def test_fused_attention_is_given_even_lengths(monkeypatch, p, t):
  """cuDNN's has no gradient for others, and says so only on a GPU."""
  lengths, given = [], jax.nn.dot_product_attention

  def attention(queries, keys, *args, **options):
    lengths.extend([queries.shape[1], keys.shape[1]])
    return given(queries, keys, *args, **options)

  monkeypatch.setattr(jax.nn, "dot_product_attention", attention)
  groups = ragged_groups(b=1, p=p, t=t)
  shape = jax.eval_shape(
    lambda: token_log_probs(MODELS["jax's own attention"], tiny_params(TINY), groups)
  )
  assert shape[0].shape == groups.mask.shape
  assert lengths and not any(length % 2 for length in lengths)


@pytest.mark.parametrize("model", [TINY, OLMO3, GEMMA3], ids=["Qwen3", "Olmo 3", "Gemma 3"])
@pytest.mark.parametrize("pads", [1, 7])
def test_more_left_padding_changes_nothing(pads, model):
  groups = ragged_groups()
  padded = dataclasses.replace(
    groups,
    prompts=jnp.pad(groups.prompts, ((0, 0), (pads, 0)), constant_values=PAD),
    prompt_mask=jnp.pad(groups.prompt_mask, ((0, 0), (pads, 0))),
  )
  logps, _ = score(model, tiny_params(model), groups)
  padded_logps, _ = score(model, tiny_params(model), padded)
  mask = groups.mask
  np.testing.assert_allclose(padded_logps[mask], logps[mask], atol=1e-5)


def test_what_stands_after_a_response_or_in_another_row_changes_nothing():
  groups = ragged_groups()
  garbage = dataclasses.replace(groups, responses=jnp.where(groups.mask, groups.responses, 7))
  longer = jax.tree.map(lambda x: x.at[1:].set(jnp.roll(x, 1, axis=0)[1:]), groups)
  logps, _ = score(TINY, tiny_params(), groups)
  np.testing.assert_array_equal(
    score(TINY, tiny_params(), garbage)[0][groups.mask], logps[groups.mask]
  )
  first = groups.mask[0]
  np.testing.assert_array_equal(score(TINY, tiny_params(), longer)[0][0][first], logps[0][first])


def test_the_first_response_token_is_predicted_from_the_last_prompt_token():
  groups = ragged_groups()
  other = dataclasses.replace(groups, prompts=groups.prompts.at[:, -1].set(3))
  logps, other_logps = score(TINY, tiny_params(), groups)[0], score(TINY, tiny_params(), other)[0]
  changed = groups.prompts[:, -1] != 3
  assert (logps[changed, :, 0] != other_logps[changed, :, 0]).all()


def test_temperature_divides_the_logits():
  groups = ragged_groups(b=2)
  hot, _ = score(TINY, tiny_params(), groups, 1e6)
  np.testing.assert_allclose(hot, -np.log(24), rtol=1e-4)


def test_log_probs_are_float32_under_bfloat16_activations():
  model = dataclasses.replace(TINY, dtype="bfloat16")
  groups = ragged_groups()
  logps, entropy = score(model, tiny_params(), groups)
  assert logps.dtype == entropy.dtype == jnp.float32
  exact = score(TINY, tiny_params(), groups)[0]
  np.testing.assert_allclose(logps[groups.mask], exact[groups.mask], atol=0.1)


def test_scoring_twice_gives_the_same_bits():
  groups = ragged_groups()
  first, second = (score(TINY, tiny_params(), groups)[0] for _ in range(2))
  np.testing.assert_array_equal(first, second)


def test_groups_are_a_pytree_whose_absent_arrays_stay_absent():
  groups = ragged_groups()
  doubled = jax.tree.map(lambda x: jnp.concatenate([x, x]), groups)
  assert isinstance(doubled, Groups) and doubled.old_logps is None
  assert doubled.responses.shape == (16, 2, 6)


@functools.cache
def outputs_and_gradients(model):
  def loss(params):
    found = token_outputs(model, params, groups, 0.7)
    return sum(jnp.sin(x).sum(where=groups.mask) for x in found.values()), found

  groups = ragged_groups()
  return jax.jit(jax.grad(loss, has_aux=True))(tiny_params())


@pytest.mark.parametrize("policy", ["none", "layers"])
def test_computing_again_changes_no_gradient(policy):
  expected = outputs_and_gradients(TINY)
  found = outputs_and_gradients(dataclasses.replace(TINY, remat=policy))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


def test_the_gradient_that_is_written_out_is_the_derivative():
  """Of each output, and of all together with weights of their own."""

  def plain(logits):
    log_p = jax.nn.log_softmax(logits, axis=-1)
    return {
      "logps": jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0],
      "entropy": -(jnp.exp(log_p) * log_p).sum(axis=-1),
      "log_sum_sq_probs": jax.nn.logsumexp(2 * log_p, axis=-1),
    }

  def gradient(outputs, names):
    def weighted(logits):
      found = outputs(logits)
      return sum((weights[name] * found[name]).sum() for name in names)

    return jax.grad(weighted)(logits)

  keys = jax.random.split(jax.random.key(0), 5)
  logits = 3 * jax.random.normal(keys[0], (2, 3, 4, 11))
  tokens = jax.random.randint(keys[1], (2, 3, 4), 0, 11)
  weights = {
    name: jax.random.normal(key, (2, 3, 4)) for name, key in zip(OUTPUTS, keys[2:], strict=True)
  }
  for names in (OUTPUTS, *((name,) for name in OUTPUTS), OUTPUTS[:2]):
    found = gradient(lambda logits: of_logits(logits, tokens, names), names)  # noqa: B023
    np.testing.assert_allclose(found, gradient(plain, names), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("logits_at_once", [1, 24 * 16 * 2, 24 * 16 * 4])
def test_the_vocabulary_in_pieces_gives_the_same_numbers_and_gradients(logits_at_once):
  expected = outputs_and_gradients(TINY)
  found = outputs_and_gradients(dataclasses.replace(TINY, logits_at_once=logits_at_once))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


def test_no_array_of_all_tokens_and_the_vocabulary_exists():
  wide = dataclasses.replace(TINY, vocab_size=16384)
  groups = ragged_groups(b=8, t=32)

  def peak(model):
    loss = lambda params: token_log_probs(model, params, groups)[0].sum()  # noqa: E731
    compiled = jax.jit(jax.grad(loss)).lower(tiny_params(wide)).compile()
    return compiled.memory_analysis().temp_size_in_bytes  # pyrefly: ignore[missing-attribute]

  logits = 8 * 2 * 32 * 16384 * 4
  assert peak(dataclasses.replace(wide, logits_at_once=8 * 2 * 16384)) < 0.5 * logits
  assert peak(wide) > 1.5 * logits
