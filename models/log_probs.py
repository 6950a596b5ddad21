"""Log-probs of the responses of Groups, the prompt computed once a group."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.groups import Groups
from models.transformer import Decoder, ModelConfig, Params, bind


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
  outputs = token_outputs(config, params, groups, temperature)
  return outputs["logps"], outputs["entropy"]


def token_outputs(
  config: ModelConfig,
  params: Params,
  groups: Groups,
  temperature: float | Float[Array, ""] = 1.0,
) -> dict[str, Float[Array, "B K T"]]:
  """All that a loss may ask of the policy's distributions; under jit, what is not used is free.

  logps and entropy as in `token_log_probs`; log_sum_sq_probs = log sum_v pi(v | prompt, y_<t)^2,
  the log of the chance that two draws agree.
  """
  # The last response token need not be read: nothing is predicted from it.
  hidden = response_states(bind(config, params), groups, groups.responses[..., :-1])
  log_p = jax.nn.log_softmax(bind(config, params).logits(hidden) / temperature, axis=-1)
  return {
    "logps": jnp.take_along_axis(log_p, groups.responses[..., None], axis=-1)[..., 0],
    "entropy": -(jnp.exp(log_p) * log_p).sum(axis=-1),
    "log_sum_sq_probs": jax.nn.logsumexp(2 * log_p, axis=-1),
  }


def response_states(decoder: Decoder, groups: Groups, tokens) -> Float[Array, "B K S M"]:
  """Hidden states before the first response token, then after each of `tokens` [B, K, S-1].

  Left-padding puts the last prompt token in the last column; its state comes before the response.
  """
  b, k, s = tokens.shape
  p = groups.prompts.shape[1]
  hidden, _ = decoder.read(groups.prompts, groups.prompt_mask, tokens)
  first = jnp.broadcast_to(hidden[:, None, p - 1 : p], (b, k, 1, hidden.shape[-1]))
  return jnp.concatenate([first, hidden[:, p:].reshape(b, k, s, -1)], axis=2)
