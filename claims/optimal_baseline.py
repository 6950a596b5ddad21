"""The group's mean as baseline against those of least variance: weighted by length, by gradient."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim
from claims.intervals import mean_of
from claims.small_losses import POLICY_GRADIENTS
from claims.small_results import Runs, curve, figure, measure, over_seeds
from claims.small_training import Setup, Variant
from claims.small_world import MODEL, base_policy, groups_of, write
from models.log_probs import token_log_probs

# Tabular: all sequences of up to LONGEST letters, every prefix with a policy of its own.
LETTERS, LONGEST, WORLDS = 2, 8, 64
REWARDS = ("rewards apart from length", "rewards of long responses")
TRANSFORMER = "the small world's base policy"
BASELINES = ("none", "group mean", "length-weighted", "optimal")
WORDS, RESPONSES = 24, 32  # of the transformer whose gradients are measured one by one
SEEDS, STEPS, RATE = range(4), 96, 3e-4
SETUP = Setup(16, 8, losses=tuple(POLICY_GRADIENTS.items()))


@dataclasses.dataclass(frozen=True)
class Responses:
  """The responses to a prompt: probabilities, lengths, rewards, squared norms of their scores."""

  chance: np.ndarray
  length: np.ndarray
  reward: np.ndarray
  square: np.ndarray


def optimal_baseline() -> Finding:
  """ "The baseline of least variance weighs rewards by the squared gradient, in practice by length;
  with it training is more stable and better than with the group's mean." (Hao et al., 2025,
  "On-Policy RL with Optimal Reward Baseline", arXiv 2505.23585.)

  With scores S (the gradient of a response's log-prob) and a baseline b, the variance of the
  gradient is E[(r - b)^2 |S|^2] - |g|^2, where g does not depend on b. It is least for

    b* = E[r |S|^2] / E|S|^2

  The first term is computed exactly in 64 tabular worlds: all 511 sequences of up to 8 letters,
  each prefix with a random softmax policy. Rewards are 0 or 1, drawn apart from length, or 1 for
  the longer half. Then on the base policy of the small world, 24 words with 32 responses each, by
  the gradients in its 47 thousand parameters, one response at a time. Ratios of two baselines are
  geometric means over worlds (or words), with 95 % t intervals.

  Training: the same loss with the group's mean, with `opo`'s length-weighted baseline and with
  none, 16 words with 8 responses, 96 steps online, rate 3e-4, four seeds.

  It holds if the length-weighted baseline has less variance in all worlds, beyond the interval, and
  training with it solves more. If it has less in the tabular worlds alone, whose tokens have
  gradients of about the same size, it holds under gradients that grow with length.
  """
  tabular = {kind: [tabular_world(kind, seed) for seed in range(WORLDS)] for kind in REWARDS}
  tabular[TRANSFORMER] = transformer_world()
  losses = ("group mean", "length-weighted (opo)", "no baseline")
  variants = {loss: Variant(loss, RATE, STEPS, setup=SETUP) for loss in losses}
  variances = {kind: [variances_of(world) for world in worlds] for kind, worlds in tabular.items()}
  return finding_of(variances, measure(variants, SEEDS))


def variances_of(x: Responses) -> dict[str, float]:
  """Returns baseline -> E[(r - b)^2 |S|^2], from which only |g|^2 is missing.

  Beside them, as "right" and "wrong": the mean |S|^2 of the responses of reward 1 and 0.
  """
  weights = {"group mean": x.chance, "length-weighted": x.chance * x.length}
  weights["optimal"] = x.chance * x.square
  b = {"none": 0.0} | {name: (w @ x.reward) / w.sum() for name, w in weights.items()}
  found = {name: float(x.chance @ ((x.reward - b[name]) ** 2 * x.square)) for name in BASELINES}
  for name, kind in (("right", x.chance * x.reward), ("wrong", x.chance * (1 - x.reward))):
    found[name] = float(kind @ x.square / kind.sum())
  return found


def tabular_world(kind: str, seed: int) -> Responses:
  draw = np.random.default_rng(seed)
  # A level at a time: the prefixes of n letters, each with its probability and squared score.
  reached, square = np.ones(1), np.zeros(1)
  ended = []
  for n in range(LONGEST + 1):
    last = n == LONGEST
    policy = draw.dirichlet(np.ones(LETTERS + 1), size=len(reached))
    policy = np.eye(LETTERS + 1)[np.zeros(len(reached), int)] if last else policy
    # |e_y - pi|^2 = 1 - 2 pi_y + |pi|^2; the token 0 ends the response.
    added = 1 - 2 * policy + (policy**2).sum(axis=1, keepdims=True)
    chance, total = reached[:, None] * policy, square[:, None] + added
    ended.append(np.stack([chance[:, 0], np.full(len(reached), n + 1.0), total[:, 0]]))
    reached, square = chance[:, 1:].ravel(), total[:, 1:].ravel()
  chance, length, square = np.concatenate(ended, axis=1)
  if kind == REWARDS[0]:
    reward = (draw.random(len(chance)) < 0.5).astype(float)
  else:
    order = np.argsort(length, kind="stable")
    half = length[order][np.searchsorted(np.cumsum(chance[order]), 0.5)]
    reward = (length > half).astype(float)
  return Responses(chance, length, reward, square)


def transformer_world() -> list[Responses]:
  """Returns the base policy's responses to each word that some of them, not all, solve."""
  params = base_policy()
  groups = write(params, jax.random.key(7), WORDS, RESPONSES)

  def square(word, response, mask):
    def log_prob(params):
      one = groups_of(word[None], (word != 0)[None], response[None, None], mask[None, None])
      return jnp.where(mask, token_log_probs(MODEL, params, one)[0][0, 0], 0).sum()

    return sum((x**2).sum() for x in jax.tree.leaves(jax.grad(log_prob)(params)))

  of_word = jax.vmap(square, in_axes=(None, 0, 0))
  found = jax.jit(lambda g: jax.lax.map(lambda xs: of_word(*xs), (g.prompts, g.responses, g.mask)))
  squares = np.asarray(found(groups), np.float64)
  lengths, rewards = np.asarray(groups.mask.sum(axis=-1), float), np.asarray(groups.rewards, float)
  chance = np.full(RESPONSES, 1 / RESPONSES)
  return [
    Responses(chance, *one)
    for one in zip(lengths, rewards, squares, strict=True)
    if 0 < one[1].mean() < 1
  ]


def finding_of(
  variances: Mapping[str, list[dict[str, float]]], runs: Mapping[str, Runs]
) -> Finding:
  ratio = {
    (kind, name): _ratio(worlds, name, "optimal")
    for kind, worlds in variances.items()
    for name in BASELINES[:-1]
  }
  gain = {k: _ratio(worlds, "length-weighted", "group mean") for k, worlds in variances.items()}
  trained = over_seeds(
    runs["length-weighted (opo)"].solved[:, -1] - runs["group mean"].solved[:, -1]
  )
  without = over_seeds(runs["no baseline"].solved[:, -1] - runs["group mean"].solved[:, -1])
  quieter = {kind: x.high is not None and x.high < 1 for kind, x in gain.items()}
  subclaims = [
    Subclaim(f"{kind}: less variance with the length-weighted baseline", holds)
    for kind, holds in quieter.items()
  ]
  subclaims.append(Subclaim("training with it solves more", trained.low > 0))
  if all(subclaim.holds for subclaim in subclaims):
    verdict = HOLDS
  elif all(quieter.values()):
    verdict = "holds under its first half alone: less variance, no better training"
  elif all(quieter[kind] for kind in REWARDS):
    verdict = "holds under gradients that grow with length, and there for the variance"
  else:
    verdict = DOES_NOT_HOLD
  uneven = _ratio(variances[TRANSFORMER], "wrong", "right")
  gains = ", ".join(f"{x.value:.2f} ({kind})" for kind, x in gain.items())
  here = [f"{ratio[TRANSFORMER, name].value:.1f} ({name})" for name in BASELINES[:-1]]
  summary = (
    f"Variance with the length-weighted baseline over that with the group's mean: {gains}. Over "
    f"the optimal one's, in the small world: {', '.join(here)}; a wrong response's squared "
    f"gradient is {uneven.value:.1f} times a right one's there. Against the group's mean, training "
    f"solves {trained.signed()} with the length-weighted one, {without.signed()} with none."
  )
  figures = [
    *(dataclasses.replace(x, name=f"{x.name}, {kind}") for (kind, _), x in ratio.items()),
    *(dataclasses.replace(x, name=f"{x.name}, {kind}") for kind, x in gain.items()),
    dataclasses.replace(uneven, name=f"squared gradient, wrong over right, {TRANSFORMER}"),
  ]
  figures += [figure(f"solved, {name}", found.solved[:, -1]) for name, found in runs.items()]
  figures += [
    Figure("solved, length-weighted minus group mean", trained.mean, trained.low, trained.high),
    Figure("solved, no baseline minus group mean", without.mean, without.low, without.high),
  ]
  curves = [curve(name, found.steps, found.solved) for name, found in runs.items()]
  plots = [_variance_plot(ratio), Plot("Solved while training", "step", "solved", curves)]
  return Finding(verdict, summary, figures, plots, subclaims)


def _ratio(worlds: list[dict[str, float]], name: str, over: str) -> Figure:
  """Returns the geometric mean over worlds of the ratio of two baselines' variances."""
  found = mean_of([np.log(world[name] / world[over]) for world in worlds])
  mean, low, high = (float(np.exp(x)) for x in (found.mean, found.low, found.high))
  return Figure(f"variance, {name} over {over}", mean, low, high)


def _variance_plot(ratio: Mapping[tuple[str, str], Figure]) -> Plot:
  kinds = list(dict.fromkeys(kind for kind, _ in ratio))
  curves = []
  for name in BASELINES[:-1]:
    found = [ratio[kind, name] for kind in kinds]
    y, low, high = ([getattr(x, part) for x in found] for part in ("value", "low", "high"))
    curves.append(Curve(name, range(1, len(kinds) + 1), y, low, high, points=True))
  where = "1: any length right, 2: long ones right, 3: the small world"  # in the order of `kinds`
  return Plot("Variance over the optimal baseline's", where, "ratio", curves, log_y=True)
