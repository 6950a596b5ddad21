"""Where training starts: a state at step 0."""

from models.scalar_head import with_scalar_head
from models.transformer import Params
from training.parts import Parts
from training.state import TrainState, new_state


def starting_state(parts: Parts, base: Params, reward_model: Params | None = None) -> TrainState:
  """The state at step 0: a copy of the base policy, and a critic where the loss needs one.

  A critic begins as the reward model, whose score it has to foresee; without one, as the base
  policy's network with a head of zeros.
  """
  config = parts.config
  has_critic = "values" in parts.loss.words
  critic = (reward_model or with_scalar_head(base)) if has_critic else None
  moves = config.reference.every > 0
  beta = config.algorithm.beta if config.reference.target_kl else None
  return new_state(base, parts.mesh, critic, moves, parts.optimizer, beta)
