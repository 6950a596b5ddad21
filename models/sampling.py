"""Sampling K responses to each prompt: the prompt is read once, then decoded token by token."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from models.transformer import ModelConfig, Params, bind, empty_cache


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How to decode. Hashable: compiled functions are cached by it (temperature is an argument)."""

  max_tokens: int
  eos_id: int
  pad_id: int
  group_size: int = 1
  greedy: bool = False  # the likeliest token each time
  top_k: int = 0  # draw from the k likeliest tokens only; 0: from all
  top_p: float = 1.0  # draw from the likeliest tokens that hold this much probability; 1: from all


class Samples(NamedTuple):
  """What was drawn. A response that never ended has no EOS and `finished` False."""

  responses: Int[Array, "B K T"]  # right-padded
  mask: Bool[Array, "B K T"]  # up to and including EOS
  logps: Float[
    Array, "B K T"
  ]  # of softmax(logits / temperature), before top-k and top-p; 0 at padding
  finished: Bool[Array, "B K"]


def sample(
  config: ModelConfig,
  params: Params,
  prompts: Int[Array, "B P"],
  prompt_mask: Bool[Array, "B P"],
  key: jax.Array,
  sampler: Sampler,
  temperature: float | Float[Array, ""] = 1.0,
) -> Samples:
  """K = sampler.group_size responses to each left-padded prompt. Stops early when all have ended.

  The log-probs are of the distribution that the trainer scores (`log_probs.token_log_probs` with
  the same temperature). top-k and top-p only restrict what is drawn; greedy ignores the temperature
  in its choice.
  """
  decoder = bind(config, params)
  hidden, prompt_cache = decoder.prefill(prompts, prompt_mask)
  batch, k, steps = prompts.shape[0], sampler.group_size, sampler.max_tokens
  first_logits = decoder.logits(hidden[:, -1])[:, None, :]

  def draw(t, logits, ended):
    log_p = jax.nn.log_softmax(logits / temperature, axis=-1)
    if sampler.greedy:
      token = jnp.argmax(log_p, axis=-1)
    else:
      token = jax.random.categorical(jax.random.fold_in(key, t), restrict(log_p, sampler))
    logp = jnp.take_along_axis(log_p, token[..., None], axis=-1)[..., 0]
    return jnp.where(ended, sampler.pad_id, token), jnp.where(ended, 0.0, logp)

  def unfinished(carry):
    t, _, _, ended, _, _, _ = carry
    return (t < steps) & ~ended.all()

  def one_token(carry):
    t, logits, cache, ended, responses, mask, logps = carry
    token, logp = draw(t, logits, ended)
    responses = responses.at[:, :, t].set(token)
    mask = mask.at[:, :, t].set(~ended)
    logps = logps.at[:, :, t].set(logp)
    ended |= token == sampler.eos_id
    decoder = bind(config, params)  # anew: NNX modules do not cross into a loop body
    hidden, cache = decoder.extend(token[..., None], prompt_cache, prompt_mask, cache, t)
    return (
      t + 1,
      decoder.logits(hidden[:, :, 0]),
      cache,
      ended,
      responses,
      mask,
      logps,
    )

  shape = (batch, k, steps)
  carry = (
    0,
    jnp.broadcast_to(first_logits, (batch, k, first_logits.shape[-1])),
    empty_cache(config, batch, k, steps),
    jnp.zeros((batch, k), bool),
    jnp.full(shape, sampler.pad_id, prompts.dtype),
    jnp.zeros(shape, bool),
    jnp.zeros(shape, jnp.float32),
  )
  _, _, _, ended, responses, mask, logps = jax.lax.while_loop(unfinished, one_token, carry)
  return Samples(responses, mask, logps, ended)


def restrict(log_p: Float[Array, "*n V"], sampler: Sampler) -> Float[Array, "*n V"]:
  """-inf for tokens outside the top k, then outside the smallest set holding top_p of the rest."""
  if sampler.top_k:
    least = jax.lax.top_k(log_p, min(sampler.top_k, log_p.shape[-1]))[0][..., -1:]
    log_p = jnp.where(log_p >= least, log_p, -jnp.inf)
  if sampler.top_p < 1:
    descending = -jnp.sort(-jax.nn.log_softmax(log_p, axis=-1), axis=-1)
    mass_before = jnp.cumsum(jnp.exp(descending), axis=-1) - jnp.exp(descending)
    kept = jnp.where(mass_before < sampler.top_p, descending, jnp.inf)
    least = kept.min(axis=-1, keepdims=True)
    log_p = jnp.where(jax.nn.log_softmax(log_p, axis=-1) >= least, log_p, -jnp.inf)
  return log_p
