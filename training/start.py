"""Where training starts: a state at step 0."""

from models.scalar_head import with_scalar_head
from models.transformer import Params
from training.annotate import words_of
from training.setup import Parts, optimizer_of
from training.state import TrainState, new_state


def starting_state(parts: Parts, base: Params, reward_model: Params | None = None) -> TrainState:
  """The base policy at step 0 (a copy: the reference stays what it is), with what its loss needs.

  A critic begins as the reward model, whose judgement it has to foresee; without one, as the base
  policy's network with a head of zeros.
  """
  config = parts.config
  has_critic = "values" in words_of(config)
  critic = (reward_model or with_scalar_head(base)) if has_critic else None
  moves = config.reference.every > 0
  return new_state(base, parts.mesh, critic, moves, optimizer_of(config))
