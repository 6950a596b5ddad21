"""A decoder that ends in one number instead of a vocabulary: reward models and critics."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from models.groups import Groups
from models.log_probs import response_states
from models.model_config import ModelConfig
from models.transformer import Params, bind

HEAD = "scalar_head"


def with_scalar_head(params: Params) -> Params:
  """A decoder's parameters (shared, not copied) and a head of zeros: it says 0 of everything."""
  width = params["final_norm"].shape[0]
  return {**params, HEAD: jnp.zeros(width + 1, jnp.float32)}  # weights, and a bias at the end


def readings(config: ModelConfig, params: Params, groups: Groups) -> Float[Array, "B K T1"]:
  """The head's number before the first response token, then after each: T + 1 of them, float32."""
  trunk = {name: leaf for name, leaf in params.items() if name != HEAD}
  hidden = response_states(bind(config, trunk), groups, groups.responses).astype(jnp.float32)
  return hidden @ params[HEAD][:-1] + params[HEAD][-1]


def token_values(config: ModelConfig, params: Params, groups: Groups) -> Float[Array, "B K T"]:
  """V(prompt, y_<t): what a critic expects *before* token t is chosen, in units of the reward."""
  return readings(config, params, groups)[..., :-1]


def response_scores(config: ModelConfig, params: Params, groups: Groups) -> Float[Array, "B K"]:
  """A reward model's score: its number after the last response token that counts."""
  last = groups.mask.sum(axis=-1, keepdims=True)
  return jnp.take_along_axis(readings(config, params, groups), last, axis=-1)[..., 0]
