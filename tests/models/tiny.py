"""A tiny decoder and ragged groups to score with it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from models.groups import Groups
from models.log_probs import token_log_probs
from models.model_config import ModelConfig
from models.rotary import LinearRope, YarnRope
from models.transformer import init

TINY = ModelConfig(vocab_size=24, layers=2, d_model=32, heads=4, kv_heads=2, head_dim=8, ff_dim=48)
# Windows shorter than prompts and responses, in the first layer and in the last.
OLMO3 = dataclasses.replace(
  TINY,
  block="models.blocks.olmo2:Olmo2Layer",
  tied=False,
  rope_scaling=YarnRope(8.0, 4.0, 0.5, 64, 1.2),
  windows=(3, 0),
  local_rope_theta=10_000.0,
)
GEMMA3 = dataclasses.replace(
  TINY,
  block="models.blocks.gemma3:Gemma3Layer",
  rope_theta=1e6,
  rope_scaling=LinearRope(8.0),
  windows=(0, 3),
  local_rope_theta=1e4,
  query_pre_attn_scalar=6,
)
PAD, EOS = 0, 1


@functools.cache
def tiny_params(model=TINY, seed=0):
  return jax.jit(init, static_argnums=0)(model, jax.random.key(seed))


@functools.partial(jax.jit, static_argnums=0)
def log_probs(model, params, groups):
  """Of the groups' tokens [B, K, T]; compiled once for all tests."""
  return token_log_probs(model, params, groups)[0]


def ragged_groups(seed=0, b=8, k=2, p=5, t=6, vocabulary=24):
  """Prompts of 1..p tokens, responses of 1..t tokens that end with EOS, rewards 0 or 1."""
  rng = np.random.default_rng(seed)
  prompt_lengths, lengths = rng.integers(1, p + 1, b), rng.integers(1, t + 1, (b, k))
  prompt_mask = np.arange(p) >= p - prompt_lengths[:, None]
  mask = np.arange(t) < lengths[..., None]
  responses = np.where(mask, rng.integers(2, vocabulary, (b, k, t)), PAD)
  responses[np.arange(t) == lengths[..., None] - 1] = EOS
  rewards = np.tile(np.arange(k) % 2, (b, 1)).astype(np.float32)
  return Groups(
    jnp.asarray(np.where(prompt_mask, rng.integers(2, vocabulary, (b, p)), PAD)),
    jnp.asarray(prompt_mask),
    jnp.asarray(responses),
    jnp.asarray(mask),
    jnp.asarray(rewards),
  )
