"""Training in the small world: one compiled program collects, scores and updates, step after step.

The regimes are one axis. Every step draws fresh words and lets the *writer* answer them; the writer
is the policy as it was at the last multiple of `period` steps. So period=1 is online, period=steps
is offline (the starting policy wrote everything), and between them lie steps/period rounds of
collecting a data set and training on it for one epoch, all with the same number of rollouts.
"""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.comparing.estimates import Estimate, estimate
from experiments.ledger.claim import Curve
from experiments.ledger.small_world import (
  MODEL,
  Score,
  adam,
  base_policy,
  fresh_state,
  judge_all,
  write,
)
from experiments.training.state import optimizer_step
from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import Params

Arrays = dict[str, jax.Array]
METRICS = ("logps/chosen", "logps/rejected", "rewards/accuracies", "clip_ratio/region_mean")


# --- what is trained ------------------------------------------------------------------------------


def collect_on_policy(
  setup: "Setup", writer: Params, reference: Params, key: jax.Array, data: Any
) -> tuple[Groups, Arrays]:
  """Groups that the writer wrote, and the arrays that a loss may ask for."""
  del data
  groups = write(writer, key, setup.prompts, setup.group_size)
  arrays = {"rewards": groups.rewards, "mask": groups.mask, "old_logps": groups.old_logps}
  if setup.asks_for("ref_logps"):
    arrays["ref_logps"] = token_log_probs(MODEL, reference, groups)[0]
  return groups, arrays


def log_probs(params: Params, groups: Groups) -> Arrays:
  return {"logps": token_log_probs(MODEL, params, groups)[0]}


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a program is compiled for. Its losses are branches of it, chosen when it runs."""

  losses: tuple[Callable, ...]  # their hyperparameters bound: partial(dpo, beta=0.1)
  prompts: int = 16  # a step
  group_size: int = 4
  steps: int = 100
  inner_steps: int = 1  # gradient steps on each step's groups
  snapshots: int = 5  # of the parameters, at equal distances, beside the start
  collect: Callable[..., tuple[Groups, Arrays]] = collect_on_policy
  network: Callable[[Params, Groups], Arrays] = log_probs  # what the losses differentiate

  def asks_for(self, name: str) -> bool:
    return any(name in inspect.signature(loss).parameters for loss in self.losses)


@dataclasses.dataclass(frozen=True)
class Variant:
  """One way to train: which loss, how fast, on whose responses."""

  loss: int  # its place in setup.losses
  learning_rate: float = 1e-3
  period: int = 1  # steps between two renewals of the writer
  renew_reference: bool = False  # whether the reference becomes the writer at each renewal
  data: Any = ()  # numbers or arrays for `setup.collect`
  start: Params | None = None  # None: the base policy


class History(NamedTuple):
  """One run: parameters [snapshots + 1, ...] and metrics [snapshots], means since the last."""

  params: Params
  metrics: Arrays


@cache
def compiled(setup: Setup) -> Callable[..., History]:
  """(variant's numbers, start, reference, data, seed) -> History."""
  per_snapshot = setup.steps // setup.snapshots

  def run(numbers: Arrays, start: Params, reference: Params, data: Any, seed) -> History:
    def step(carry, i):
      state, writer, reference = carry
      renew = i % numbers["period"] == 0
      writer = _choose(renew, state.params, writer)
      reference = _choose(renew & numbers["renew_reference"], writer, reference)
      key = jax.random.fold_in(jax.random.key(seed), i)
      groups, arrays = setup.collect(setup, writer, reference, key, data)

      def update(state, _):
        gradient, metrics = loss_gradient(setup, numbers["loss"], state.params, groups, arrays)
        return optimizer_step(state, gradient, adam(numbers["learning_rate"]), "constant")[0], metrics

      state, metrics = jax.lax.scan(update, state, length=setup.inner_steps)
      return (state, writer, reference), metrics

    def until_snapshot(carry, first):
      carry, metrics = jax.lax.scan(step, carry, first + jnp.arange(per_snapshot))
      return carry, (carry[0].params, jax.tree.map(jnp.mean, metrics))

    carry = (fresh_state(start), start, reference)
    firsts = per_snapshot * jnp.arange(setup.snapshots)
    _, (snapshots, metrics) = jax.lax.scan(until_snapshot, carry, firsts)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, snapshots)
    return History(joined, metrics)

  return jax.jit(run)


def loss_gradient(setup: Setup, which, params: Params, groups: Groups, arrays: Arrays):
  """The gradient of loss number `which` in the parameters, cut at the network's outputs."""
  outputs, pullback = jax.vjp(lambda p: setup.network(p, groups), params)
  branches = [lambda outputs, loss=loss: cotangent(loss, outputs, arrays) for loss in setup.losses]
  cotangents, metrics = jax.lax.switch(which, branches, outputs)
  return pullback(cotangents)[0], metrics


def cotangent(loss: Callable, outputs: Arrays, arrays: Arrays) -> tuple[Arrays, Arrays]:
  """d loss / d outputs, and the loss with those of METRICS that it has (NaN for the others)."""
  asked = inspect.signature(loss).parameters

  def value(outputs):
    given = {name: x for name, x in (outputs | arrays).items() if name in asked}
    return loss(**given)

  (number, metrics), gradient = jax.value_and_grad(value, has_aux=True)(outputs)
  return gradient, {"loss": number} | {name: metrics.get(name, jnp.nan) for name in METRICS}


def _choose(condition, new: Params, old: Params) -> Params:
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


# --- runs -----------------------------------------------------------------------------------------


def train(
  setup: Setup, variants: Mapping[str, Variant], seeds: Sequence[int]
) -> dict[str, list[History]]:
  """Every variant with every seed. A seed fixes the words and the sampler's randomness."""
  program = compiled(setup)

  def run(variant: Variant, seed: int) -> History:
    numbers = {
      "loss": variant.loss,
      "learning_rate": variant.learning_rate,
      "period": variant.period,
      "renew_reference": variant.renew_reference,
    }
    start = base_policy() if variant.start is None else variant.start
    return jax.block_until_ready(program(numbers, start, start, variant.data, seed))

  jobs = [(variant, seed) for variant in variants.values() for seed in seeds]
  first = run(*jobs[0])  # compiles, once
  with ThreadPoolExecutor(os.cpu_count()) as threads:  # a run keeps one core busy
    rest = list(threads.map(lambda job: run(*job), jobs[1:]))
  histories = iter([first, *rest])
  return {name: [next(histories) for _ in seeds] for name in variants}
