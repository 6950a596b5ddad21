"""Log-probs of the responses of Groups: prompts computed once, the vocabulary piece by piece."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from models.groups import Groups
from models.transformer import Decoder, ModelConfig, Params, bind

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

  At most config.logits_at_once logits are held: a batch with more is done in stretches of tokens,
  one after the other, and the backward pass computes each stretch's logits again.
  """

  def of_stretch(hidden, responses):
    logits = bind(config, params).logits(hidden) / temperature
    return of_logits(logits, responses, wanted)

  # The last response token need not be read: nothing is predicted from it.
  hidden = response_states(bind(config, params), groups, groups.responses[..., :-1])
  tokens = groups.responses.shape[-1]
  stretches = -(-groups.responses.size * config.vocab_size // config.logits_at_once)
  if stretches <= 1:
    return of_stretch(hidden, groups.responses)
  length = -(-tokens // min(stretches, tokens))
  hidden, responses = _cut(hidden, length), _cut(groups.responses, length)
  outputs = jax.lax.map(jax.checkpoint(lambda piece: of_stretch(*piece)), (hidden, responses))
  return {name: _join(x)[..., :tokens] for name, x in outputs.items()}


def of_logits(
  logits: Float[Array, "B K S V"], tokens: Int[Array, "B K S"], wanted: Sequence[str]
) -> dict[str, Float[Array, "B K S"]]:
  """`wanted` of the distributions softmax(logits)."""
  normalizer = jax.nn.logsumexp(logits, axis=-1)
  outputs = {}
  if "logps" in wanted:
    # A sum over a mask rather than a gather, whose gradient would scatter into zeros.
    chosen = tokens[..., None] == jnp.arange(logits.shape[-1])
    outputs["logps"] = jnp.where(chosen, logits, 0.0).sum(axis=-1) - normalizer
  if "entropy" in wanted:
    p = jnp.exp(logits - normalizer[..., None])
    outputs["entropy"] = normalizer - (p * logits).sum(axis=-1)
  if "log_sum_sq_probs" in wanted:
    outputs["log_sum_sq_probs"] = jax.nn.logsumexp(2 * logits, axis=-1) - 2 * normalizer
  return outputs


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
