"""Sampling K responses to each prompt, as one program; `decoding.py` has what goes on in it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from models import decoding
from models.model_config import ModelConfig
from models.sampler import Sampler
from models.transformer import Params


class Samples(NamedTuple):
  """Responses as drawn, as jax or numpy arrays. One that never ended has `finished` False."""

  responses: Any  # int [B, K, T], right-padded
  mask: Any  # bool [B, K, T], up to and including the end
  logps: Any  # [B, K, T], of softmax(logits / temperature), whatever top-k; 0 at padding
  finished: Any  # bool [B, K]
  # Of the distribution that was drawn from, where top-k or top-p made it another; else None.
  drawn_logps: Any = None


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
  the same temperature). top-k and top-p only restrict what is drawn; `drawn_logps` are of that.
  Greedy ignores the temperature in its choice. What row b draws depends on the key, b and its
  prompt, not on the other rows.
  """

  def of_part(part) -> Samples:
    prompts, prompt_mask, row = part
    begun = decoding.begin(
      config, params, prompts, prompt_mask, row, key, sampler, temperature, sampler.max_tokens
    )
    drawing = decoding.decode(config, params, begun, key, sampler, temperature)
    return Samples(
      drawing.responses, drawing.mask, drawing.logps[0], drawing.ended, *drawing.logps[1:]
    )

  rows = jnp.arange(len(prompts))
  n = number_of_cuts(len(prompts), sampler.prompts_at_once)
  if n == 1:
    return of_part((prompts, prompt_mask, rows))

  def cut(x):  # interleaved, so that each device keeps its own prompts
    return x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1)

  samples = jax.lax.map(of_part, (cut(prompts), cut(prompt_mask), cut(rows)))
  return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), samples)


def number_of_cuts(prompts: int, at_once: int) -> int:
  """The least number of equal cuts of no more than `at_once` prompts (0: one cut, of all)."""
  if not at_once:
    return 1
  return next(n for n in range(1, prompts + 1) if prompts % n == 0 and prompts // n <= at_once)
