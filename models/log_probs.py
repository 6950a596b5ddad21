"""Log-probs of the responses of Groups: prompts computed once, the vocabulary piece by piece."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from models import packing
from models.groups import Groups
from models.model_config import ModelConfig
from models.transformer import Decoder, Params, bind

OUTPUTS = ("logps", "entropy", "log_sum_sq_probs")


def token_log_probs(
  config: ModelConfig,
  params: Params,
  groups: Groups,
  temperature: float | Float[Array, ""] = 1.0,
) -> tuple[Float[Array, "B K T"], Float[Array, "B K T"]]:
  """log pi(y_t | prompt, y_<t) and the entropy of pi(. | prompt, y_<t), in nats, float32.

  pi is softmax(logits / temperature): what `sampling.sample` draws from and reports, so that a
  response's log-probs from the sampler and from here are the same numbers. Padding has log-probs
  too (of the padding token): `groups.mask` says which count.
  """
  outputs = token_outputs(config, params, groups, temperature, OUTPUTS[:2])
  return outputs["logps"], outputs["entropy"]


def token_outputs(
  config: ModelConfig,
  params: Params,
  groups: Groups,
  temperature: float | Float[Array, ""] = 1.0,
  wanted: Sequence[str] = OUTPUTS,
) -> dict[str, Float[Array, "B K T"]]:
  """All that a loss may ask of the policy's distributions; `wanted` is computed.

  logps and entropy as in `token_log_probs`; log_sum_sq_probs = log sum_v pi(v | prompt, y_<t)^2,
  the log of the chance that two draws agree.

  About config.logits_at_once logits are held (of all devices together, and one token of each
  response at least): a batch with more is done in stretches of tokens, one after the other, and the
  backward pass computes each stretch's logits again.
  """

  decoder = bind(config, params)
  if groups.layout is not None:
    hidden, tokens = packing.predictions(decoder, groups)
    read = _of_states(config, params, hidden[:, None], tokens[:, None], temperature, tuple(wanted))
    return {name: packing.unpacked(groups, x[:, 0]) for name, x in read.items()}
  # The last response token need not be read: nothing is predicted from it.
  hidden = response_states(decoder, groups, groups.responses[..., :-1])
  return _of_states(config, params, hidden, groups.responses, temperature, tuple(wanted))


def _of_states(config, params, hidden, tokens, temperature, wanted) -> dict[str, Array]:
  """`wanted` of the tokens [B, K, T] that are predicted from the hidden states [B, K, T, M]."""

  def of_stretch(hidden, tokens):
    logits = bind(config, params).logits(hidden) / temperature
    return of_logits(logits, tokens, wanted)

  count = tokens.shape[-1]
  stretches = -(-tokens.size * config.vocab_size // config.logits_at_once)
  if stretches <= 1:
    return of_stretch(hidden, tokens)
  length = -(-count // min(stretches, count))
  pieces = _cut(hidden, length), _cut(tokens, length)
  outputs = jax.lax.map(jax.checkpoint(lambda piece: of_stretch(*piece)), pieces)
  return {name: _join(x)[..., :count] for name, x in outputs.items()}


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def of_logits(
  logits: Float[Array, "B K S V"], tokens: Int[Array, "B K S"], wanted: tuple[str, ...]
) -> dict[str, Float[Array, "B K S"]]:
  """`wanted` of the distributions softmax(logits).

  Its gradient is written out below: what autodiff keeps of it is several times the logits.
  """
  return _of_logits(logits, tokens, wanted)[0]


def _of_logits(logits, tokens, wanted):
  normalizer, outputs, squares = jax.nn.logsumexp(logits, axis=-1), {}, None
  if "logps" in wanted:
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    outputs["logps"] = chosen - normalizer
  if "entropy" in wanted:
    p = jnp.exp(logits - normalizer[..., None])
    outputs["entropy"] = normalizer - (p * logits).sum(axis=-1)
  if "log_sum_sq_probs" in wanted:
    squares = jax.nn.logsumexp(2 * logits, axis=-1)
    outputs["log_sum_sq_probs"] = squares - 2 * normalizer
  return outputs, (logits, tokens, normalizer, outputs.get("entropy"), squares)


def _gradient_of_logits(wanted, kept, cotangents):
  """d log p_y / dz_v = [v = y] - p_v; dH / dz_v = -p_v (log p_v + H);

  d log sum_u p_u^2 / dz_v = 2 p_v^2 / sum_u p_u^2 - 2 p_v.
  """
  logits, tokens, *numbers = kept
  each = {name: x[..., None] for name, x in cotangents.items()}
  normalizer, entropy, squares = (None if x is None else x[..., None] for x in numbers)
  p, gradient = jnp.exp(logits - normalizer), 0.0
  if "logps" in wanted:
    is_chosen = tokens[..., None] == jnp.arange(logits.shape[-1])
    gradient += each["logps"] * (is_chosen - p)
  if "entropy" in wanted:
    gradient -= each["entropy"] * p * (logits - normalizer + entropy)
  if "log_sum_sq_probs" in wanted:
    gradient += 2 * each["log_sum_sq_probs"] * (jnp.exp(2 * logits - squares) - p)
  return gradient, None


of_logits.defvjp(_of_logits, _gradient_of_logits)


def response_states(decoder: Decoder, groups: Groups, tokens) -> Float[Array, "B K S M"]:
  """Hidden states before the first response token, then after each of `tokens` [B, K, S-1].

  Left-padding puts the last prompt token in the last column; its state comes before the response.
  """
  b, k, s = tokens.shape
  p = groups.prompts.shape[1]
  hidden = decoder.read(groups.prompts, groups.prompt_mask, tokens)
  first = jnp.broadcast_to(hidden[:, None, p - 1 : p], (b, k, 1, hidden.shape[-1]))
  return jnp.concatenate([first, hidden[:, p:].reshape(b, k, s, -1)], axis=2)


def _cut(x: Array, length: int) -> Array:
  """[B, K, T, ...] -> [pieces, B, K, length, ...], padded: every piece has rows of all devices."""
  x = jnp.pad(x, [(0, -x.shape[i] % length if i == 2 else 0) for i in range(x.ndim)])
  return jnp.moveaxis(x.reshape(*x.shape[:2], -1, length, *x.shape[3:]), 2, 0)


def _join(x: Array) -> Array:
  """[pieces, B, K, length] -> [B, K, pieces * length]."""
  return jnp.moveaxis(x, 0, 2).reshape(*x.shape[1:3], -1)
