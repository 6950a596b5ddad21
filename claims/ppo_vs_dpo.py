"""PPO on a reward model against DPO on the pairs that the reward model learned from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Finding, Plot, Subclaim
from claims.small_preferences import DPO, PPO, REWARD_MODEL, normalized, score_all
from claims.small_results import Runs, curve, evaluated, figure, over_seeds
from claims.small_training import Variant, in_threads, run, train
from claims.small_world import base_policy
from models.scalar_head import with_scalar_head
from models.transformer import Params

SEEDS = range(4)
PAIR_STEPS, PPO_STEPS, RATE = 128, 64, 3e-4
DATA = {  # supervised steps of the policy that wrote the pairs, and the share of wrong labels
  "own pairs": (500, 0.0),
  "30 % wrong labels": (500, 0.3),
  "stronger writer": (1000, 0.0),
}
CLEAN, NOISY, STRONGER = DATA
LOOSE = "loose ppo"  # with a small beta; run only on noisy labels, where the reward model is worst
METHODS = {name: ("dpo", "ppo") for name in DATA} | {NOISY: ("dpo", "ppo", LOOSE)}


def ppo_vs_dpo() -> Finding:
  """ "PPO outperforms DPO, and the quality of the preferences matters more than the quality of the
  responses." (Ivison et al., 2024, "Unpacking DPO and PPO".)

  Pairs are two responses to a word; the one with more right tokens is preferred. There are 4096 of
  each kind: by the base policy itself, the same with 30 % of the labels flipped, and by a stronger
  policy, which solves three quarters. A reward model (the base policy's trunk, `bradley_terry`,
  rate 1e-3) learns them in one epoch; its scores are scaled to mean 0 and standard deviation 1 on
  the base policy's responses. `dpo` (beta = 1) makes one epoch over the same pairs. `ppo` (beta =
  0.5 on the KL in the reward, critic started from the reward model) takes 64 steps of 64 responses
  of its own; "loose ppo" (beta = 0.05) does so on the wrong labels alone. All start from the base
  policy at rate 3e-4; four seeds, each with pairs and a reward model of its own.

  PPO outperforms where it solves more, beyond the 95 % interval of the paired difference.
  Preferences matter more if the wrong labels change what is solved by more than the stronger writer
  does, mean of DPO and PPO.
  """
  data = {
    name: {"writer": base_policy(steps), "noise": noise} for name, (steps, noise) in DATA.items()
  }
  models, accuracy = reward_models(data)
  runs, scores = policies(data, models)
  return finding_of(runs, scores, accuracy)


def reward_models(data: Mapping[str, Any]) -> tuple[dict[str, list[Params]], dict[str, np.ndarray]]:
  """Trains a reward model for each kind of data and seed; returns them and their accuracies."""
  start = {"params": with_scalar_head(base_policy())}
  trained = train(
    {
      name: Variant("bradley_terry", 1e-3, PAIR_STEPS, start=start, data=pairs, setup=REWARD_MODEL)
      for name, pairs in data.items()
    },
    SEEDS,
  )
  models, accuracy = {}, {}
  for name, histories in trained.items():
    last = [jax.tree.map(lambda x: x[-1], history.params) for history in histories]
    found = [normalized(model, base_policy()) for model in last]
    models[name] = [model for model, _ in found]
    accuracy[name] = np.array([share for _, share in found])
  return models, accuracy


def policies(
  data: Mapping[str, Any], models: Mapping[str, list[Params]]
) -> tuple[dict[str, Runs], dict[str, np.ndarray]]:
  """Trains DPO and PPO on each kind of data.

  Returns, by "method, data", the runs and the reward models' scores of them [seeds, snapshots + 1].
  """
  variants, jobs = {}, []
  for name in data:
    offline = Variant("dpo", RATE, PAIR_STEPS, period=PAIR_STEPS, data=data[name], setup=DPO)
    variants[f"dpo, {name}"] = offline
    jobs += [(offline, seed) for seed in SEEDS]
    for method in METHODS[name][1:]:
      online = Variant(method, RATE, PPO_STEPS, setup=PPO)
      variants[f"{method}, {name}"] = online
      for seed, model in zip(SEEDS, models[name], strict=True):
        start = {"params": base_policy(), "critic": model}
        jobs.append((dataclasses.replace(online, start=start, data=model), seed))
  places = (0, len(SEEDS))  # the first job of DPO's program, and the first of PPO's
  histories = iter(in_threads(run, jobs, compiling=places))
  trained = {name: [next(histories) for _ in SEEDS] for name in variants}
  to_score = [
    (history.params, model)
    for name, found in trained.items()
    for history, model in zip(found, models[name.partition(", ")[2]], strict=True)
  ]
  scores = np.stack(in_threads(score_all, to_score, compiling=[0]))
  by_variant = scores.reshape(len(variants), len(SEEDS), -1)
  return evaluated(variants, trained), dict(zip(variants, by_variant, strict=True))


def finding_of(
  runs: Mapping[str, Runs], scores: Mapping[str, np.ndarray], accuracy: Mapping[str, np.ndarray]
) -> Finding:
  end = {name: found.solved[:, -1] for name, found in runs.items()}
  ahead = {name: end[f"ppo, {name}"] - end[f"dpo, {name}"] for name in DATA}
  both = {name: (end[f"ppo, {name}"] + end[f"dpo, {name}"]) / 2 for name in DATA}
  by_labels, by_writer = both[CLEAN] - both[NOISY], both[STRONGER] - both[CLEAN]
  more = over_seeds(by_labels - np.abs(by_writer))
  outperforms = {name: over_seeds(d).low > 0 for name, d in ahead.items()}
  subclaims = [
    Subclaim(f"PPO solves more than DPO, {name}", holds) for name, holds in outperforms.items()
  ]
  subclaims.append(Subclaim("preferences matter more than responses", more.low > 0))
  where = " or ".join(name for name, holds in outperforms.items() if holds)
  if all(subclaim.holds for subclaim in subclaims):
    verdict = HOLDS
  elif where:
    verdict = f"holds under {where}" + ("" if more.low > 0 else ", of its first half alone")
  elif more.low > 0:
    verdict = "holds under its second half alone: preferences matter more than responses"
  else:
    verdict = DOES_NOT_HOLD

  hacked = f"{LOOSE}, {NOISY}"
  rise = over_seeds(scores[hacked][:, -1] - scores[hacked][:, 0])
  leads = ", ".join(f"{over_seeds(d).signed()} ({name})" for name, d in ahead.items())
  summary = (
    f"PPO less DPO: {leads}. "
    f"Wrong labels cost {over_seeds(by_labels)}, a stronger writer brings "
    f"{over_seeds(by_writer).signed()}. Over-optimisation: under loose PPO with wrong labels the "
    f"reward model's score changes by {rise.signed()} and what is solved by "
    f"{over_seeds(runs[hacked].gains[:, -1]).signed()}."
  )
  figures = [figure(f"solved, {name}", values) for name, values in end.items()]
  figures += [figure(f"right tokens, {name}", found.graded[:, -1]) for name, found in runs.items()]
  figures += [figure(f"reward model's score, {name}", s[:, -1]) for name, s in scores.items()]
  figures += [figure(f"KL, {name}, nats", found.kl[:, -1]) for name, found in runs.items()]
  figures += [figure(f"reward model's accuracy, {name}", a) for name, a in accuracy.items()]
  figures += [figure(f"PPO less DPO, {name}", d) for name, d in ahead.items()]
  figures += [figure("cost of wrong labels", by_labels), figure("gain by the writer", by_writer)]
  plots = [
    Plot(
      f"Solved while training: {name}",
      "share of the training",
      "solved",
      [_curve(method, runs[f"{method}, {name}"]) for method in METHODS[name]],
    )
    for name in DATA
  ]
  plots += [
    Plot(
      f"What {what} says on the way: {NOISY}",
      "KL(policy || base policy), nats a response",
      what,
      [
        Curve(method, runs[f"{method}, {NOISY}"].kl.mean(axis=0), of(f"{method}, {NOISY}"))
        for method in METHODS[NOISY]
      ],
    )
    for what, of in (
      ("the reward model's score", lambda name: scores[name].mean(axis=0)),
      ("the true reward (share of right tokens)", lambda name: runs[name].graded.mean(axis=0)),
    )
  ]
  return Finding(verdict, summary, figures, plots, subclaims)


def _curve(name: str, found: Runs) -> Curve:
  return curve(name, found.steps / found.steps[-1], found.solved)
