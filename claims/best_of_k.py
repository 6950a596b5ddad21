"""Training for the best of k: what pass@k gains by it, and what pass@1 loses."""

from collections.abc import Mapping

import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Finding, Plot, Subclaim
from claims.small_losses import POLICY_GRADIENTS
from claims.small_results import curve, figure, over_seeds
from claims.small_training import Setup, Variant, in_threads, train
from claims.small_world import base_policy, solve_rates

SEEDS, STEPS, RATE = range(4), 96, 3e-4
SETUP = Setup(16, 8, losses=tuple(POLICY_GRADIENTS.items()))
ONE, TRAINED_FOR = "group mean", {"pass@2": 2, "pass@4": 4}
TRIES = (1, 2, 4, 8, 16, 32)
POLICIES = {"base policy": 500, "stronger policy": 1000}  # steps of supervised training


def best_of_k() -> Finding:
  """ "Training for pass@k solves more in k tries than training for pass@1 does, and less in one."
  (Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv 2505.15201.)

  `pass_at_k` with k = 2 and 4 against the policy gradient of pass@1 with the group's mean as
  baseline: 16 words with 8 responses, 96 steps online, rate 3e-4, four seeds, from the base policy,
  which solves about half, and from a stronger one. pass@k is exact: with p the probability of a
  word's one right answer it is the mean of 1 - (1 - p)^k over 256 words.

  Each half is decided by the paired difference and its 95 % interval, for the k trained for. It
  holds if all do, from both policies.
  """
  starts = {name: {"params": base_policy(steps)} for name, steps in POLICIES.items()}
  variants = {
    f"{loss}, {policy}": Variant(loss, RATE, STEPS, start=start, setup=SETUP)
    for policy, start in starts.items()
    for loss in (ONE, *TRAINED_FOR)
  }
  trained = train(variants, SEEDS)
  rates = iter(
    in_threads(solve_rates, [(h.params,) for runs in trained.values() for h in runs], [0])
  )
  found = {name: np.stack([np.asarray(next(rates)) for _ in SEEDS]) for name in variants}
  return finding_of(found)


def pass_at(rates: np.ndarray, k: int) -> np.ndarray:
  """Returns pass@k from solve rates [..., words]: the mean over words."""
  return (1 - (1 - rates) ** k).mean(axis=-1)


def finding_of(rates: Mapping[str, np.ndarray]) -> Finding:
  """Returns the finding; `rates` are solve rates [seeds, snapshots + 1, words] by variant."""
  subclaims, figures, told = [], [], []
  for policy in POLICIES:
    end = {loss: rates[f"{loss}, {policy}"][:, -1] for loss in (ONE, *TRAINED_FOR)}
    for loss, k in TRAINED_FOR.items():
      several = pass_at(end[loss], k) - pass_at(end[ONE], k)
      one = pass_at(end[loss], 1) - pass_at(end[ONE], 1)
      subclaims += [
        Subclaim(
          f"{policy}: trained for pass@{k}, pass@{k} is higher", over_seeds(several).low > 0
        ),
        Subclaim(f"{policy}: trained for pass@{k}, pass@1 is lower", over_seeds(one).high < 0),
      ]
      figures += [
        figure(f"{policy}: pass@{k}, trained for it minus for pass@1", several),
        figure(f"{policy}: pass@1, trained for pass@{k} minus for pass@1", one),
      ]
      told.append(
        f"{policy}, trained for pass@{k}: pass@{k} {over_seeds(several).signed()}, pass@1 "
        f"{over_seeds(one).signed()}"
      )
    start = rates[f"{ONE}, {policy}"][:, 0]
    figures += [figure(f"{policy}: pass@{k} at the start", pass_at(start, k)) for k in (1, 2, 4)]
  higher, lower = subclaims[::2], subclaims[1::2]
  verdict = _verdict([s.holds for s in higher], [s.holds for s in lower])
  summary = f"Against training for pass@1: {'; '.join(told)}."
  return Finding(verdict, summary, figures, _plots(rates), subclaims)


def _verdict(higher: list[bool], lower: list[bool]) -> str:
  if all(higher) and all(lower):
    return HOLDS
  both = [a and b for a, b in zip(higher, lower, strict=True)]
  of_k = {k: all(both[i :: len(TRAINED_FOR)]) for i, k in enumerate(TRAINED_FOR.values())}
  if any(of_k.values()):
    return f"holds under k = {', '.join(str(k) for k, holds in of_k.items() if holds)}"
  if all(higher):
    return "holds under its first half alone: pass@k is higher, pass@1 not everywhere lower"
  if all(lower):
    return "holds under its second half alone: pass@1 is lower, pass@k not everywhere higher"
  return DOES_NOT_HOLD


def _plots(rates: Mapping[str, np.ndarray]) -> list[Plot]:
  plots = []
  for policy in POLICIES:
    of = {loss: rates[f"{loss}, {policy}"] for loss in (ONE, *TRAINED_FOR)}
    steps = np.linspace(0, STEPS, next(iter(of.values())).shape[1])
    by_tries = [
      curve(
        f"trained for {'pass@1' if loss == ONE else loss}",
        np.array(TRIES),
        np.stack([pass_at(x[:, -1], k) for k in TRIES], axis=1),
      )
      for loss, x in of.items()
    ]
    start = [float(pass_at(of[ONE][:, 0], k).mean()) for k in TRIES]
    plots += [
      Plot(
        f"By tries, from the {policy}",
        "tries k",
        "pass@k",
        [Curve("before", list(TRIES), start), *by_tries],
        log_x=True,
      ),
      Plot(
        f"pass@1 while training, from the {policy}",
        "step",
        "pass@1",
        [
          curve(f"trained for {'pass@1' if loss == ONE else loss}", steps, pass_at(x, 1))
          for loss, x in of.items()
        ],
      ),
    ]
  return plots
