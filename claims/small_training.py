"""Training in the small world: one compiled program collects, scores and updates, step after step.

The regimes are one axis. Every step draws fresh words and lets the *writer* answer them; the writer
is the policy as it was at the last multiple of `period` steps. So period=1 is online, period=steps
is offline (the starting policy wrote everything), and between them lie steps/period rounds of
collecting a data set and training on it for one epoch, all with the same number of rollouts.
"""

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from claims.small_losses import LOSSES
from claims.small_world import MODEL, adam, base_policy, fresh_state, write
from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import Params
from training.optimizer import adamw, constant
from training.state import optimizer_step
from training.update import through_network

Arrays = dict[str, jax.Array]
Trained = dict[str, Params]  # "params", and "critic" where there is one
# The metrics that are kept of every loss: branches of one program must return the same.
METRICS = (
  "logps/chosen",
  "logps/rejected",
  "rewards/chosen",
  "rewards/rejected",
  "accuracy",
  "clip_ratio/region_mean",
)


# --- the compiled program -------------------------------------------------------------------------


def write_groups(
  setup: "Setup", writer: Trained, reference: Params, key: jax.Array, data: Any
) -> tuple[Groups, Arrays]:
  """Writes groups, rewarded exactly; returns them and the arrays that a loss may ask for."""
  del data
  groups = write(writer["params"], key, setup.prompts, setup.group_size)
  return groups, arrays_of(setup, groups, reference)


def arrays_of(setup: "Setup", groups: Groups, reference: Params) -> Arrays:
  """Returns the groups' own arrays, and the reference's log-probs if a loss asks for them."""
  arrays = {"rewards": groups.rewards, "mask": groups.mask, "old_logps": groups.old_logps}
  if any("ref_logps" in inspect.signature(loss).parameters for _, loss in setup.losses):
    arrays["ref_logps"] = token_log_probs(MODEL, reference, groups)[0]
  return arrays


def log_probs(trained: Trained, groups: Groups) -> Arrays:
  return {"logps": token_log_probs(MODEL, trained["params"], groups)[0]}


@dataclasses.dataclass(frozen=True)
class Setup:
  """The constants of a compiled program. Its losses are branches, one of which each run takes."""

  prompts: int = 16  # a step
  group_size: int = 4
  snapshots: int = 8  # of the parameters, equally spaced; the start is kept too
  losses: tuple[tuple[str, Callable], ...] = tuple(LOSSES.items())
  collect: Callable[..., tuple[Groups, Arrays]] = write_groups
  network: Callable[[Trained, Groups], Arrays] = log_probs  # losses are functions of its outputs


class History(NamedTuple):
  """One run: parameters [snapshots + 1, ...]; metrics [snapshots], means since the one before."""

  params: Params
  metrics: Arrays


@cache
def compiled(setup: Setup) -> Callable[..., History]:
  """Returns (numbers of the variant, start, data, seed) -> History, jitted. Numbers are traced."""

  def run(numbers: Arrays, start: Trained, data: Any, seed) -> History:
    optimizer = adam(numbers["learning_rate"])
    nothing = dict.fromkeys(("loss", *METRICS), jnp.zeros(()))

    def step(i, carry):
      state, writer, reference, total = carry
      renew = i % numbers["period"] == 0
      writer = _choose(renew, state.trained, writer)
      reference = _choose(renew & numbers["renew_reference"], state.params, reference)
      key = jax.random.fold_in(jax.random.key(seed), i)
      groups, arrays = setup.collect(setup, writer, reference, key, data)

      def update(_, carry):
        state, total = carry
        gradient, metrics = loss_gradient(setup, numbers["loss"], state.trained, groups, arrays)
        state, _ = optimizer_step(state, gradient, optimizer, adamw, constant)
        return state, jax.tree.map(jnp.add, total, metrics)

      state, total = jax.lax.fori_loop(0, numbers["inner_steps"], update, (state, total))
      return state, writer, reference, total

    def until_snapshot(carry, part):
      steps = numbers["steps"] // setup.snapshots
      carry = jax.lax.fori_loop(part * steps, (part + 1) * steps, step, (*carry, nothing))
      mean = jax.tree.map(lambda x: x / (steps * numbers["inner_steps"]), carry[-1])
      return carry[:-1], (carry[0].params, mean)

    carry = (fresh_state(start["params"], start.get("critic")), start, start["params"])
    _, (params, metrics) = jax.lax.scan(until_snapshot, carry, jnp.arange(setup.snapshots))
    with_start = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start["params"], params)
    return History(with_start, metrics)

  return jax.jit(run)


def loss_gradient(setup: Setup, which, trained: Trained, groups: Groups, arrays: Arrays):
  """Returns the gradient of loss number `which`, by the trainer's own `through_network`."""

  def branch(loss: Callable) -> Callable:
    asked = inspect.signature(loss).parameters

    def value(outputs: Arrays):
      given = {name: x for name, x in (outputs | arrays).items() if name in asked}
      number, metrics = loss(**given)
      return number, {name: metrics.get(name, jnp.nan) for name in METRICS}

    return value

  branches = [branch(loss) for _, loss in setup.losses]
  gradient, _, metrics, _ = through_network(
    lambda trained, groups: (setup.network(trained, groups), {}),
    lambda outputs: jax.lax.switch(which, branches, outputs),
    trained,
    groups,
    micro_batches=1,
  )
  return gradient, metrics


def _choose(condition, new, old):
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


# --- runs -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Variant:
  """One way to train: which loss, how fast, how long, on whose responses."""

  loss: str
  learning_rate: float = 1e-4
  steps: int = 128
  inner_steps: int = 1  # updates on each step's groups
  period: int = 1  # steps between two renewals of the writer
  renew_reference: bool = False  # whether the reference is renewed along with the writer
  start: Trained | None = None  # None: the base policy
  data: Any = ()  # numbers or arrays for `setup.collect`
  setup: Setup = Setup()


def run(variant: Variant, seed: int) -> History:
  """Trains one run. The seed fixes the words and the sampler's randomness."""
  names = ("learning_rate", "steps", "inner_steps", "period", "renew_reference")
  numbers = {name: getattr(variant, name) for name in names}
  numbers["loss"] = [name for name, _ in variant.setup.losses].index(variant.loss)
  start = variant.start or {"params": base_policy()}
  return jax.block_until_ready(compiled(variant.setup)(numbers, start, variant.data, seed))


def train(variants: Mapping[str, Variant], seeds: Sequence[int]) -> dict[str, list[History]]:
  """Trains every variant with every seed, one run a core."""
  if any(variant.start is None for variant in variants.values()):
    base_policy()  # once, here: several threads would each train it
  jobs = [(variant, seed) for variant in variants.values() for seed in seeds]
  places = {variant.setup: place for place, (variant, _) in reversed(list(enumerate(jobs)))}
  histories = iter(in_threads(run, jobs, compiling=places.values()))
  return {name: [next(histories) for _ in seeds] for name in variants}


def in_threads(function: Callable, jobs: Sequence[tuple], compiling: Iterable[int]) -> list:
  """Calls `function` with each of the jobs, a thread a core; returns results in their order.

  A small compiled program keeps only one core busy. The jobs at the indices `compiling` go first:
  their programs compile side by side, and once each.
  """
  done: dict[int, Any] = {}
  with ThreadPoolExecutor(os.cpu_count()) as threads:
    for places in (list(compiling), range(len(jobs))):
      todo = [place for place in places if place not in done]
      done |= zip(todo, threads.map(lambda place: function(*jobs[place]), todo), strict=True)
  return [done[place] for place in range(len(jobs))]
