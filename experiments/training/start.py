"""Where training starts: a state at step 0, and the policy that another run ended with."""

import dataclasses
from functools import partial

from ml_collections import ConfigDict

from experiments.errors import UserError
from experiments.run_folder import RunFolder
from experiments.training.annotate import words_of
from experiments.training.checkpoints import Checkpoints
from experiments.training.setup import Parts
from experiments.training.state import TrainState, new_state, random_params
from models import adapters
from models.partitioning import build_sharded
from models.scalar_head import with_scalar_head
from models.transformer import Params


def starting_state(parts: Parts, base: Params, reward_model: Params | None = None) -> TrainState:
  """The base policy at step 0 (a copy: the reference stays what it is), with what its loss needs.

  A critic begins as the reward model, whose judgement it has to foresee; without one, as the base
  policy's network with a head of zeros.
  """
  config = parts.config
  has_critic = "values" in words_of(config)
  critic = (reward_model or with_scalar_head(base)) if has_critic else None
  return new_state(base, parts.mesh, critic, moving_reference=config.reference.every > 0)


def policy_of_run(path: str, parts: Parts) -> Params:
  """The policy at the latest checkpoint of the run in `path`, its adapters merged into its weights.

  Args:
    parts: whose mesh it is put on; the model's shape must be the run's.
  Raises:
    UserError: there is no checkpoint, or of another shape.
  """
  folder = RunFolder(path)
  saved = ConfigDict(folder.read_config()["config"])
  trained = {name: saved.model[name] for name in ("lora_rank", "lora_alpha")}
  model = dataclasses.replace(parts.model, **trained)
  if "scores" in words_of(saved):
    raise UserError(f"base.run={path!r} trained a reward model ({saved.algorithm.loss})")
  its_parts = dataclasses.replace(parts, config=saved, model=model)
  blank = starting_state(its_parts, random_params(model, parts.mesh, seed=0))
  with Checkpoints(folder) as checkpoints:
    params = checkpoints.load(None, blank).params
  merge = partial(adapters.merged, model)
  return build_sharded(parts.mesh, merge, params) if adapters.are_in(params) else params
