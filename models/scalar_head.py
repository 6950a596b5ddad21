"""A decoder that ends in one number instead of a vocabulary: reward models and critics."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from models import packing
from models.groups import Groups
from models.log_probs import response_states
from models.model_config import ModelConfig
from models.transformer import Decoder, Params, bind

HEAD = "scalar_head"


def with_scalar_head(params: Params) -> Params:
  """A decoder's parameters (shared, not copied) and a head of zeros: it says 0 of everything."""
  width = params["final_norm"].shape[0]
  return {**params, HEAD: jnp.zeros(width + 1, jnp.float32)}  # weights, and a bias at the end


def token_values(config: ModelConfig, params: Params, groups: Groups) -> Float[Array, "B K T"]:
  """V(prompt, y_<t): what a critic expects *before* token t is chosen, in units of the reward."""
  trunk = _trunk(config, params)
  if groups.layout is not None:
    hidden, _ = packing.predictions(trunk, groups)
    return packing.unpacked(groups, _number(params, hidden))
  return _number(params, response_states(trunk, groups, groups.responses))[..., :-1]


def response_scores(config: ModelConfig, params: Params, groups: Groups) -> Float[Array, "B K"]:
  """A reward model's score: its number after the last response token that counts."""
  trunk = _trunk(config, params)
  if groups.layout is not None:
    return packing.at_ends(groups, _number(params, packing.read(trunk, groups)))
  readings = _number(params, response_states(trunk, groups, groups.responses))  # T + 1 of them
  last = groups.mask.sum(axis=-1, keepdims=True)
  return jnp.take_along_axis(readings, last, axis=-1)[..., 0]


def _trunk(config: ModelConfig, params: Params) -> Decoder:
  return bind(config, {name: leaf for name, leaf in params.items() if name != HEAD})


def _number(params: Params, hidden: Float[Array, "*n M"]) -> Float[Array, "*n"]:
  """The head's number for these hidden states, float32."""
  return hidden.astype(jnp.float32) @ params[HEAD][:-1] + params[HEAD][-1]
