"""The state of training: parameters, the optimizer's moments and the step."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from models import adapters, transformer
from models.partitioning import build_sharded, parameter_shardings, sharded
from models.transformer import ModelConfig, Params
from training.optimizer import Optimizer, Schedule, adamw, descend
from training.population.shared import shared


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """All that training changes. Data order and sampling keys follow from the seed and the step."""

  params: Params  # of the policy; in the training of a reward model, of that
  moments: Any  # the optimizer's, with the paths of their parameters, so that they are placed alike
  step: Any  # int32 [], updates so far
  critic: Any = None  # PPO's value network: Params, or None
  reference: Any = None  # a reference that moves: Params; None: it stays the base policy
  reward_mean: Any = 0.0  # float32 [], running mean of the rewards
  beta: Any = None  # float32 [], a beta that adapts; None: it stays the config's

  @property
  def networks(self) -> dict[str, Params]:
    """Those that the loss is computed with."""
    return {"params": self.params} | ({} if self.critic is None else {"critic": self.critic})

  @property
  def saved(self) -> dict[str, Any]:
    """The part that a checkpoint holds: of networks with adapters, these alone.

    A beta that stays is left out: checkpoints of before there was one are read as ever.
    """
    part = self._of_networks(adapters.trainable)
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return {name: value for name, value in fields.items() if name != "beta" or value is not None}

  def with_saved(self, saved: dict[str, Any]) -> "TrainState":
    """The state of `saved`, with this one's frozen weights under the adapters that it holds."""
    return TrainState(**saved)._of_networks(adapters.join, self)

  def _of_networks(self, change, *others: "TrainState") -> "TrainState":
    """`change` applied to each network that there is (and those of the other states)."""
    networks = {name: getattr(self, name) for name in ("params", "critic", "reference")}
    changed = {
      name: change(network, *(getattr(other, name) for other in others))
      for name, network in networks.items()
      if network is not None
    }
    return dataclasses.replace(self, **changed)

  @property
  def trained(self) -> dict[str, Any]:
    """The parameters that the optimizer moves: a network's adapters, or all of it without any."""
    return {name: adapters.trainable(params) for name, params in self.networks.items()}

  def with_trained(self, trained: dict[str, Any], **fields: Any) -> "TrainState":
    """This state with new values of `trained`."""
    moved = {name: adapters.join(new, self.networks[name]) for name, new in trained.items()}
    return dataclasses.replace(self, **moved, **fields)


def new_state(
  params: Params,
  mesh: Mesh,
  critic: Params | None = None,
  moving_reference: bool = False,
  optimizer: Optimizer = adamw,
  beta: float | None = None,
) -> TrainState:
  """Step 0 with these parameters, sharded over the mesh.

  They are copied, so that the caller's stay when training donates the state; but what adapters
  leave at rest is not, and the caller's must not be used again.
  """

  def build(moving, critic):
    moving, critic = jax.tree.map(jnp.copy, (moving, critic))
    state = TrainState(
      moving,
      moments=None,
      step=jnp.zeros((), jnp.int32),
      critic=critic,
      reward_mean=jnp.zeros((), jnp.float32),
      beta=None if beta is None else jnp.asarray(beta, jnp.float32),
    )
    return dataclasses.replace(state, moments=optimizer().init(state.trained))

  moving = adapters.trainable(params)
  state = build_sharded(mesh, build, moving, critic)
  params = adapters.join(state.params, jax.device_put(params, parameter_shardings(params, mesh)))
  reference = jax.tree.map(jnp.copy, params) if moving_reference else None
  return dataclasses.replace(state, params=params, reference=reference)


def to_load(build: Callable[[Params], TrainState], params: Params, mesh: Mesh) -> TrainState:
  """The state that build(params) makes, for a checkpoint to be loaded into; params may be shapes.

  Its arrays are shapes with their places alone, so that nothing is held twice. Not with adapters:
  what lies under them is in no checkpoint.
  """
  if adapters.are_in(params):
    return build(params)
  shapes = jax.eval_shape(build, params)
  return jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    shapes,
    parameter_shardings(shapes, mesh),
  )


def random_params(model: ModelConfig, mesh: Mesh, seed: int) -> Params:
  """Freshly initialised parameters, born in their shards."""
  return _initialiser(model, mesh)(jax.random.key(seed))


@cache  # the runs of a sweep have the same network
def _initialiser(model: ModelConfig, mesh: Mesh) -> Callable:
  return sharded(mesh, partial(transformer.init, model), jax.random.key(0))


def optimizer_step(
  state: TrainState,
  gradient: dict[str, Params],
  numbers: dict[str, Any],
  optimizer: Optimizer,
  schedule: Schedule,
) -> tuple[TrainState, dict[str, Array]]:
  """The state one step further, and metrics; see `optimizer.descend`.

  `gradient` has the parts of `state.trained`.
  """
  trained, moments, metrics = descend(
    optimizer, schedule, numbers, state.step, state.trained, state.moments, gradient
  )
  return state.with_trained(trained, moments=moments, step=state.step + 1), metrics


@shared
def moved_mean(mean: Float[Array, ""], rewards: Float[Array, "B K"], weight) -> Float[Array, ""]:
  """A running mean moved by `weight` towards the mean of these rewards; NaN is left out."""
  scored = ~jnp.isnan(rewards)
  batch_mean = jnp.where(scored, rewards, 0.0).sum() / jnp.maximum(scored.sum(), 1)
  return mean + jnp.where(scored.any(), weight, 0.0) * (batch_mean - mean)


@shared
def adapted(beta: Float[Array, ""], kl, target_kl) -> Float[Array, ""]:
  """beta (1 + 0.1 clip((KL - target) / target, -0.2, 0.2)) (Ziegler et al., 2019, section 2.2).

  Proportional control of log beta: with a KL far from the target it moves by 2 % a step. Their KL
  is of a sequence; `kl` and `target_kl` are nats a token, by the loss's own estimate.
  """
  error = jnp.clip((kl - target_kl) / target_kl, -0.2, 0.2)
  return beta * (1 + 0.1 * error)


@shared
def mixed(reference: Params, params: Params, mix) -> Params:
  """mix * policy + (1 - mix) * reference: a reference that follows the policy.

  TR-DPO (Gorbatovski et al., 2024, eq. 10 and 11): mix < 1 is its soft update, mix = 1 its hard.
  """
  return jax.tree.map(lambda r, p: (1 - mix) * r + mix * p, reference, params)
