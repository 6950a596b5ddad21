"""Gradients of losses compared with DPO's, in all parameters of the small world's transformer."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.advantages import group_relative
from algorithms.dpo import dpo
from algorithms.grpo import unclipped_grpo
from algorithms.off_policy_grpo import off_policy_grpo, offline_grpo
from algorithms.policy_gradient import sequence_ratio
from algorithms.reductions import sequence_mean
from claims.small_training import History, Setup, in_threads, loss_gradient
from claims.small_world import MODEL, base_policy, write
from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import Params

PAIRS = 64  # on which gradients are taken
LENGTHS = ("equal lengths", "unequal lengths")


def sequence_grpo(logps, old_logps, rewards, mask):
  """2-GRPO with the ratio of whole responses and no clipping: -mean_i rho_i A_i."""
  rho = sequence_ratio(logps, jax.lax.stop_gradient(old_logps), mask)
  return -sequence_mean(rho * group_relative(rewards)[..., None], mask), {}


# The losses whose gradients are compared with DPO's.
LOSSES = {
  "sequence ratio": sequence_grpo,
  "sequence ratio, clipped": partial(off_policy_grpo, ratio="sequence", beta=0.0),
  "sequence ratio, clipped, KL": partial(off_policy_grpo, ratio="sequence", beta=0.04),
  "token ratio": unclipped_grpo,
  "token ratio, clipped": partial(off_policy_grpo, beta=0.0),
  "no ratio": partial(offline_grpo, weights="standardized"),
  "dpo as weights": partial(offline_grpo, weights="dpo", beta=0.1),
}
COMPARED = Setup(group_size=2, losses=(("dpo", partial(dpo, beta=0.1)), *LOSSES.items()))


@dataclasses.dataclass(frozen=True)
class Compared:
  """Gradients compared with DPO's: arrays [seeds, snapshots], by loss."""

  cosine: Mapping[str, np.ndarray]
  difference: Mapping[str, np.ndarray]  # |g - dpo| / |dpo|


def compare(histories: Sequence[History], lengths: str) -> Compared:
  """Compares the gradients at every snapshot of every run, on pairs drawn with the run's seed."""
  jobs = [(h.params, pairs(seed, lengths), base_policy()) for seed, h in enumerate(histories)]
  found = in_threads(_compare, jobs, compiling=[0])
  cosine, difference = (np.stack(part) for part in zip(*found, strict=True))
  columns = {name: i for i, name in enumerate(LOSSES)}
  return Compared(
    {name: cosine[:, :, i] for name, i in columns.items()},
    {name: difference[:, :, i] for name, i in columns.items()},
  )


@jax.jit
def _compare(snapshots: Params, groups: Groups, base: Params):
  base_logps = token_log_probs(MODEL, base, groups)[0]
  arrays = {"rewards": groups.rewards, "mask": groups.mask}
  arrays |= {"old_logps": base_logps, "ref_logps": base_logps}

  def gradient(which, params):
    tree, _ = loss_gradient(COMPARED, which, {"params": params}, groups, arrays)
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])

  def at(params):
    every = jax.lax.map(partial(gradient, params=params), jnp.arange(len(COMPARED.losses)))
    of_dpo, others = every[0], every[1:]
    norm = jnp.linalg.norm(of_dpo)
    cosine = others @ of_dpo / (jnp.linalg.norm(others, axis=1) * norm)
    return cosine, jnp.linalg.norm(others - of_dpo, axis=1) / norm

  return jax.lax.map(at, snapshots)


def pairs(seed: int, lengths: str) -> Groups:
  """Returns PAIRS groups of a right and a wrong response by the base policy.

  With "equal lengths" all responses have 6 tokens; with "unequal lengths", 1 to 6.
  """
  drawn = jax.device_get(_draw(base_policy(), jax.random.key(10_000 + seed)))
  fits = drawn.rewards[:, 0] != drawn.rewards[:, 1]
  if lengths == "equal lengths":
    fits &= drawn.mask.all(axis=(1, 2))
  rows = np.flatnonzero(fits)[:PAIRS]
  assert len(rows) == PAIRS, f"{len(rows)} pairs with {lengths}"
  return jax.tree.map(lambda x: x[rows], drawn)


@jax.jit
def _draw(base: Params, key: jax.Array) -> Groups:
  return write(base, key, 4096, 2)


def apart(one: History, other: History) -> np.ndarray:
  """Returns |theta - theta'| / |theta - theta_0| of two runs, [snapshots + 1]; 0 at the start."""
  a, b = (_flat(history.params) for history in (one, other))
  moved = np.linalg.norm(a - a[0], axis=1)
  return np.linalg.norm(a - b, axis=1) / np.where(moved > 0, moved, 1.0)


def _flat(snapshots: Params) -> np.ndarray:
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(snapshots)]
  return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
