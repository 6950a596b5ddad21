"""The one jitted, sharded training step: log-probs, loss, gradient, optimizer.

The loss sees log-probs, not parameters, so the step is cut there: log-probs forward, the loss
differentiated with respect to the log-probs of the whole batch, and that cotangent pushed back
through the network. With micro-batches only the first and last part run piece by piece; the loss
still sees the whole batch at once, so no normaliser can go wrong, whatever the loss.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from algorithms.implied_rewards import best_and_worst, from_gradient
from algorithms.reductions import token_mean
from algorithms.shapes import COMPUTED
from models import scalar_head
from models.groups import Groups
from models.log_probs import OUTPUTS, token_outputs
from models.partitioning import batch_sharding, on_mesh, parameter_shardings, replicated
from models.transformer import ModelConfig
from training.optimizer import Optimizer, Schedule, adamw, constant
from training.population.shared import Shared
from training.state import TrainState, optimizer_step


@dataclasses.dataclass(frozen=True)
class UpdateSpec:
  """Everything that a compiled update depends on, hashable; every number is an argument instead."""

  model: ModelConfig
  mesh: Mesh
  loss: Callable
  options: tuple[tuple[str, Any], ...] = ()  # the loss's hyperparameters that are not numbers
  optimizer: Optimizer = adamw
  schedule: Schedule = constant
  micro_batches: int = 1
  correction: Callable | None = None  # an `algorithms.mismatch.Correction`

  @property
  def shards(self) -> int:
    """Pieces of a batch that lie on devices of their own."""
    return self.mesh.shape["data"] * self.mesh.shape["fsdp"]


@cache
def compiled_update(spec: UpdateSpec) -> Shared:
  """(state, groups, numbers) -> (state, metrics, weights), jitted; the state's buffers are donated.

  The weights, of `loss_gradient`, lie whole on every device.

  One compilation serves all runs with the same spec and shapes: the numbers are arguments. In a
  single run a Shared is just the jitted function.
  """

  def with_shardings(state: TrainState, groups: Groups, numbers: dict[str, Any]):
    state, metrics, weights = update(spec, state, groups, numbers)
    state = jax.lax.with_sharding_constraint(state, parameter_shardings(state, spec.mesh))
    return state, metrics, jax.lax.with_sharding_constraint(weights, replicated(spec.mesh))

  in_shardings = (None, batch_sharding(spec.mesh), replicated(spec.mesh))
  step = on_mesh(spec.mesh, with_shardings)
  step = jax.jit(step, in_shardings=in_shardings, donate_argnums=0)
  return Shared(step, partial(update, spec), donates=True)


def update(
  spec: UpdateSpec, state: TrainState, groups: Groups, numbers: dict[str, Any]
) -> tuple[TrainState, dict[str, jax.Array], jax.Array | None]:
  """One training step on one batch of groups. Pure. `numbers` are those of `Parts.numbers`."""
  adapts = {} if state.beta is None else {"beta": state.beta}
  numbers = numbers | {"algorithm": numbers["algorithm"] | adapts}
  gradient, metrics, weights = loss_gradient(spec, state, groups, numbers)
  state, optimizer_metrics = optimizer_step(
    state, gradient, numbers["optimizer"], spec.optimizer, spec.schedule
  )
  return state, metrics | optimizer_metrics | adapts, weights


def loss_gradient(spec: UpdateSpec, state: TrainState, groups: Groups, numbers: dict[str, Any]):
  """The loss's gradient in the parts of `TrainState.trained`, metrics (with the loss), weights.

  The weights [B, K] are the implied rewards (`algorithms/implied_rewards.py`) times B*K: whatever
  the loss calls itself, what it does to each response. None for a loss without log-probs.
  """
  wanted, given = loss_arrays(spec.loss, groups)

  def loss_of(outputs):
    corrected: dict[str, jax.Array] = {}
    if spec.correction is not None:
      policies = groups.old_logps, groups.sampler_logps, groups.mask
      logps, corrected = spec.correction(outputs["logps"], *policies, numbers["correction"])
      outputs = outputs | {"logps": logps}
    loss, metrics = spec.loss(**outputs, **given, **numbers["algorithm"], **dict(spec.options))
    return loss, metrics | corrected

  def score(trained, groups: Groups):
    networks = state.with_trained(trained).networks
    return _score(spec.model, numbers["temperature"], wanted, networks, groups)

  gradient, cotangent, metrics, scores = through_network(
    score, loss_of, state.trained, groups, spec.micro_batches, spec.shards
  )
  weights = None
  if "logps" in cotangent:
    implied = from_gradient(cotangent["logps"], groups.mask)
    metrics |= best_and_worst(implied, groups.rewards)
    metrics["entropy"] = token_mean(scores["entropy"], groups.mask)
    weights = implied * implied.size
  return gradient, metrics, weights


def through_network(
  score: Callable, loss_of: Callable, params, groups, micro_batches: int = 1, shards: int = 1
):
  """The gradient of loss_of(outputs) in the parameters, cut at the network's outputs.

  Args:
    score: (params, groups) -> (outputs, unused), two dicts of arrays [B, ...] by prompt.
    shards: pieces that lie on devices of their own; each gives its part to every micro-batch.
    loss_of: outputs of the whole batch -> (loss, metrics).
  Returns:
    (gradient, d loss / d outputs, metrics with the loss, outputs and unused).
  """
  forward, backward = _whole if micro_batches == 1 else _in_micro_batches(micro_batches, shards)
  outputs, unused, residuals = forward(score, params, groups)
  (loss, metrics), cotangent = jax.value_and_grad(loss_of, has_aux=True)(outputs)
  gradient = backward(score, params, groups, residuals, cotangent)
  return gradient, cotangent, metrics | {"loss": loss}, outputs | unused


def loss_arrays(loss: Callable, groups: Groups) -> tuple[list[str], dict[str, jax.Array]]:
  """The arrays that the loss's signature names: those to compute, and those the groups bring.

  An optional array (default None) that the groups lack is left out.
  """
  parameters = inspect.signature(loss).parameters.values()
  names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
  given = {name: getattr(groups, name) for name in names if name not in COMPUTED}
  return [n for n in names if n in COMPUTED], {n: a for n, a in given.items() if a is not None}


def _score(model: ModelConfig, temperature, wanted: list[str], networks, groups: Groups):
  """The networks' outputs, in two: the arrays that the loss differentiates, and the others."""
  computed = {}
  if "scores" in wanted:  # `networks["params"]` is a reward model
    computed["scores"] = scalar_head.response_scores(model, networks["params"], groups)
  else:
    asked = {"logps", "entropy"} | ({*wanted} & {*OUTPUTS})
    computed |= token_outputs(model, networks["params"], groups, temperature, tuple(asked))
  if "values" in wanted:
    computed["values"] = scalar_head.token_values(model, networks["critic"], groups)
  outputs = {name: computed.pop(name) for name in wanted}
  return outputs, {name: x for name, x in computed.items() if name == "entropy"}  # for the metrics


def kept_for_backward(spec: UpdateSpec, trained, groups: Groups):
  """The residuals that the backward pass keeps; `memory.py` looks at their shapes."""
  score = partial(_score, spec.model, 1.0, loss_arrays(spec.loss, groups)[0])
  return _forward(score, trained, groups)[2]


# --- the batch at once: the forward pass keeps its activations for the backward pass -------------


def _forward(score, params, groups):
  outputs, pullback, unused = jax.vjp(lambda p: score(p, groups), params, has_aux=True)
  return outputs, unused, pullback


def _backward(score, params, groups, pullback, cotangent):
  del score, params, groups
  return pullback(cotangent)[0]


_whole = (_forward, _backward)


# --- in micro-batches: activations are computed again, one micro-batch at a time ------------------


def _in_micro_batches(n: int, shards: int):
  # A micro-batch is the next piece of every device's own prompts.
  def split(tree):
    def pieces(x):
      x = x.reshape(shards, n, -1, *x.shape[1:]).swapaxes(0, 1)
      return x.reshape(n, -1, *x.shape[3:])

    return jax.tree.map(pieces, tree)

  def join(tree):
    def whole(x):
      x = x.reshape(n, shards, -1, *x.shape[2:]).swapaxes(0, 1)
      return x.reshape(-1, *x.shape[3:])

    return jax.tree.map(whole, tree)

  def forward(score, params, groups):
    outputs, unused = join(jax.lax.map(lambda micro: score(params, micro), split(groups)))
    return outputs, unused, None

  def backward(score, params, groups, residuals, cotangent):
    del residuals

    def add(total, micro):
      micro_groups, micro_cotangent = micro
      _, pullback = jax.vjp(lambda p: score(p, micro_groups)[0], params)
      return jax.tree.map(jnp.add, total, pullback(micro_cotangent)[0]), None

    zero = jax.tree.map(jnp.zeros_like, params)
    return jax.lax.scan(add, zero, (split(groups), split(cotangent)))[0]

  return forward, backward
