"""Where DPO and GRPO with two responses are one: their gradients in a transformer's parameters."""

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
from algorithms.policy_gradient import sequence_mean, sequence_ratio
from experiments.ledger.claim import DOES_NOT_HOLD, HOLDS, Figure, Finding, Part, Plot
from experiments.ledger.small_results import Runs, curve, figure, frontier, judged, measure, over_seeds
from experiments.ledger.small_training import History, Setup, Variant, loss_gradient, train
from experiments.ledger.small_world import MAX_TOKENS, MODEL, base_policy, write
from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import Params

SEEDS = range(4)
STEPS = 160
PAIRS = 64  # in the data that gradients are taken on
LENGTHS = ("equal lengths", "4 to 6 tokens", "1 to 6 tokens")
PARALLEL = 1e-5  # 1 - cosine that float32 arithmetic leaves
SAME = 1e-3  # relative difference that float32 arithmetic leaves after a training run


def sequence_grpo(logps, old_logps, rewards, mask):
  """2-GRPO with the ratio of whole responses, no clipping: -mean_i rho_i A_i."""
  rho = sequence_ratio(logps, jax.lax.stop_gradient(old_logps), mask)
  return -sequence_mean(rho * group_relative(rewards)[..., None], mask), {}


# What DPO's gradient is compared with.
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
TRAINED = Setup(group_size=2)


@dataclasses.dataclass(frozen=True)
class Compared:
  """Each loss's gradient next to DPO's, [seeds, snapshots] by loss."""

  cosine: Mapping[str, np.ndarray]
  difference: Mapping[str, np.ndarray]  # |g - dpo| / |dpo|


def compare(histories: Sequence[History], lengths: str) -> Compared:
  """At every snapshot of every run, on pairs of that run's seed."""
  found = [
    _compare(history.params, pairs(seed, lengths), base_policy())
    for seed, history in enumerate(histories)
  ]
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
  """PAIRS groups of a right and a wrong response by the base policy.

  "equal lengths": all of 5 tokens. "1 to 6 tokens": each response cut at random, as a limit on
  tokens would; its reward stays.
  """
  drawn = jax.device_get(_draw(base_policy(), jax.random.key(10_000 + seed)))
  fits = drawn.rewards[:, 0] != drawn.rewards[:, 1]
  if lengths == "equal lengths":
    fits &= (drawn.mask.sum(axis=-1) == 5).all(axis=1)
  rows = np.flatnonzero(fits)[:PAIRS]
  assert len(rows) == PAIRS
  groups = jax.tree.map(lambda x: x[rows], drawn)
  if lengths == "1 to 6 tokens":
    kept = np.random.default_rng(seed).integers(1, MAX_TOKENS + 1, (PAIRS, 2, 1))
    groups = dataclasses.replace(groups, mask=groups.mask & (np.arange(MAX_TOKENS) < kept))
  return groups


@jax.jit
def _draw(base: Params, key: jax.Array) -> Groups:
  return write(base, key, 2048, 2)


# --- claim 2 --------------------------------------------------------------------------------------


def parallel_gradients() -> Finding:
  """ "At pi_theta = pi_ref the gradients of DPO and of GRPO with two responses are parallel." (after
  Wu et al., 2025, "It Takes Two: Your GRPO Is Secretly DPO", arXiv 2510.00977.)

  Gradients are taken in all 47 thousand parameters, on 64 pairs of a right and a wrong response
  that the base policy wrote: of 5 tokens all, of 4 to 6, and cut to 1 to 6. `dpo` (beta = 0.1) is
  compared with 2-GRPO on the ratio of whole responses, on the ratio of tokens (`unclipped_grpo`,
  whose tokens are averaged by response), with clipping at 0.2, and with a KL term of 0.04; at the
  base policy and along DPO's own way from there, 160 steps of 16 pairs at rates 3e-5 and 3e-4.
  "No ratio" is what 2-GRPO is when the responses are its own: weights +1 and -1.

  Parallel means a cosine within 1e-5 of 1 at all four seeds. It holds if that is so at the base
  policy whatever the lengths; it holds under conditions if whole responses or equal lengths do it.
  """
  variants = {
    "slow": Variant("dpo", 3e-5, STEPS, period=STEPS),
    "fast": Variant("dpo", 3e-4, STEPS, period=STEPS),
  }
  histories = train(TRAINED, variants, SEEDS)
  runs = {name: judged(STEPS, found) for name, found in histories.items()}
  on_the_way = {name: compare(found, LENGTHS[1]) for name, found in histories.items()}
  at_base = {lengths: compare(histories["slow"], lengths) for lengths in LENGTHS}
  return judge_parallel(at_base, on_the_way, runs)


def judge_parallel(
  at_base: Mapping[str, Compared], on_the_way: Mapping[str, Compared], runs: Mapping[str, Runs]
) -> Finding:
  start = {
    (loss, lengths): 1 - found.cosine[loss][:, 0]
    for lengths, found in at_base.items()
    for loss in LOSSES
  }

  def parallel(loss: str, *lengths: str) -> bool:
    return all(start[loss, each].max() < PARALLEL for each in lengths)

  whole = [name for name in LOSSES if name.startswith("sequence")]
  parts = [
    Part(
      "at the reference, with the ratio of whole responses, whatever the lengths; neither clipping "
      "nor the KL term changes that",
      all(parallel(loss, *LENGTHS) for loss in whole),
    ),
    Part("the same with the ratio of tokens, all lengths equal", parallel("token ratio", LENGTHS[0])),
    Part("the same with the ratio of tokens, lengths unequal", parallel("token ratio", *LENGTHS[1:])),
  ]
  if all(part.holds for part in parts):
    verdict = HOLDS
  elif parts[0].holds and parts[1].holds:
    verdict = "holds under a ratio of whole responses, or responses of equal length"
  else:
    verdict = DOES_NOT_HOLD
  end = {loss: on_the_way["fast"].cosine[loss][:, -1] for loss in LOSSES}
  kl = over_seeds(runs["fast"].score.kl[:, -1]).mean
  ragged = [over_seeds(1 - start["token ratio", lengths]).mean for lengths in LENGTHS[1:]]
  summary = (
    f"At the reference 1 - cosine is at most {max(start[x, y].max() for x in whole for y in LENGTHS):.0e} "
    f"with whole responses; with tokens averaged by response the cosine is {1 - ragged[0]:.3f} at "
    f"lengths 4 to 6 and {1 - ragged[1]:.3f} at 1 to 6. Once DPO has moved {kl:.1f} nats away it is "
    f"{end['sequence ratio'].mean():.2f} with the ratio, {end['sequence ratio, clipped'].mean():.2f} "
    f"clipped, {end['sequence ratio, clipped, KL'].mean():.2f} with the KL term too, and "
    f"{end['no ratio'].mean():.2f} without any ratio."
  )
  figures = [
    figure(f"1 - cosine at the reference, {loss}, {lengths}", values)
    for (loss, lengths), values in start.items()
    if loss != "dpo as weights"
  ]
  figures += [figure(f"cosine {kl:.1f} nats away, {name}", values) for name, values in end.items()]
  plots = [
    Plot(
      f"How parallel 2-GRPO's gradient stays to DPO's (DPO trained, rate {rate})",
      "KL(policy || reference), nats a response",
      "cosine with DPO's gradient",
      [
        curve(loss, runs[name].score.kl.mean(axis=0), on_the_way[name].cosine[loss])
        for loss in LOSSES
        if loss != "dpo as weights"
      ],
    )
    for name, rate in (("fast", "3e-4"), ("slow", "3e-5"))
  ]
  return Finding(verdict, summary, figures, plots, parts)


# --- claim 3 --------------------------------------------------------------------------------------


def offline_grpo_is_dpo() -> Finding:
  """ "Offline GRPO on pairs with the weights +-beta (1 - sigmoid(z)) is DPO, at every theta." (DPO's
  gradient: Rafailov et al., 2023, section 4.)

  `dpo` and `offline_grpo(weights="dpo")`, both with beta = 0.1, train from the base policy on the
  same 2560 pairs that it wrote, in 160 steps at a rate of 3e-4, four seeds. At seven places of
  DPO's way both gradients in all parameters are taken on 64 fixed pairs; at the end the parameters
  of the two runs are compared, in units of how far DPO has moved.

  It holds if both relative differences stay below 1e-3 at every seed: Adam divides by the
  gradient's size, so that rounding is felt where that is small.
  """
  variants = {
    name: Variant(name, 3e-4, STEPS, period=STEPS) for name in ("dpo", "dpo as weights")
  }
  histories = train(TRAINED, variants, SEEDS)
  gradients = compare(histories["dpo"], LENGTHS[1]).difference["dpo as weights"]
  parameters = np.array([_apart(*both) for both in zip(*histories.values(), strict=True)])
  runs = {name: judged(STEPS, found) for name, found in histories.items()}
  steps = runs["dpo"].steps
  worst = float(gradients.max()), float(parameters[:, -1].max())
  kl = over_seeds(runs["dpo"].score.kl[:, -1]).mean
  summary = (
    f"Along {kl:.1f} nats of training the gradients differ by at most {worst[0]:.1e} of their "
    f"length, and the runs end at parameters {worst[1]:.1e} of the way apart."
  )
  return Finding(
    HOLDS if max(worst) < SAME else DOES_NOT_HOLD,
    summary,
    [
      Figure("largest relative difference of the gradients", worst[0]),
      Figure("largest relative difference of the final parameters", worst[1]),
      figure("KL to the reference at the end, nats", runs["dpo"].score.kl[:, -1]),
    ],
    [
      Plot(
        "What float32 leaves between the two",
        "step",
        "relative difference",
        [
          curve("gradients at the same parameters", steps, gradients),
          curve("parameters of the two runs", steps[1:], parameters[:, 1:]),
        ],
        log_y=True,
      )
    ],
  )


def _apart(one: History, other: History) -> np.ndarray:
  """[snapshots]: |theta - theta'| / |theta - theta_0| (0 at the start)."""
  a, b = (_rows(history.params) for history in (one, other))
  moved = np.linalg.norm(a - a[0], axis=1)
  return np.linalg.norm(a - b, axis=1) / np.where(moved > 0, moved, 1.0)


def _rows(snapshots: Params) -> np.ndarray:
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(snapshots)]
  return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
