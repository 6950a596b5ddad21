"""Log-probs of the responses of Groups, the prompt computed once a group."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.groups import Groups
from models.transformer import ModelConfig, Params, bind


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
  decoder = bind(config, params)
  prompt_hidden, prompt_cache = decoder.prefill(groups.prompts, groups.prompt_mask)
  # Response token t is predicted from token t-1, and token 0 from the last prompt token, which
  # left-padding puts in the last column. So the last response token need not be read.
  first = prompt_hidden[:, None, -1:, :]
  first = jnp.broadcast_to(first, (*groups.responses.shape[:2], *first.shape[2:]))
  rest, _ = decoder.extend(groups.responses[..., :-1], prompt_cache, groups.prompt_mask)
  logits = decoder.logits(jnp.concatenate([first, rest], axis=2)) / temperature
  log_p = jax.nn.log_softmax(logits, axis=-1)
  logps = jnp.take_along_axis(log_p, groups.responses[..., None], axis=-1)[..., 0]
  return logps, -(jnp.exp(log_p) * log_p).sum(axis=-1)
