"""GRPO without responses below the baseline, and without clipping its ratio."""

from collections.abc import Mapping

from claims.claim import DOES_NOT_HOLD, HOLDS, Finding, Plot, Subclaim
from claims.small_results import Runs, curve, figure, measure, over_seeds
from claims.small_training import Variant
from claims.small_world import base_policy

SEEDS = range(4)
POLICIES = {"base policy": 500, "stronger policy": 1000}  # steps of supervised training
RATES = (1e-4, 3e-4)
FRESH_STEPS, REUSED_STEPS, UPDATES = 128, 48, 4


def negatives_and_clipping() -> Finding:
  """ "Negative feedback is essential: training only above the baseline limits learning; clipping
  the policy ratio is not required." (Carrino et al., 2026, arXiv 2603.18756.)

  Negatives: `grpo` against the same loss on max(A, 0), 128 steps online with one update each, rate
  1e-4, from the base policy, which solves about half, and from a stronger one, which solves three
  quarters. Clipping: `grpo` against `unclipped_grpo`, 48 steps with four updates on the responses
  of each (with one update no ratio can leave the clip), rates 1e-4 and 3e-4. Every step has 16
  words with 4 responses; four seeds.

  Negatives are essential where training without them solves less, beyond the 95 % interval of the
  paired difference. Clipping is not required where training without it does not solve less.
  """
  starts = {name: {"params": base_policy(steps)} for name, steps in POLICIES.items()}
  variants = {
    f"{loss}, {policy}": Variant(loss, RATES[0], FRESH_STEPS, start=start)
    for policy, start in starts.items()
    for loss in ("grpo", "positives only", "negatives only")
  }
  variants |= {
    f"{loss}, rate {rate:g}": Variant(loss, rate, REUSED_STEPS, inner_steps=UPDATES)
    for rate in RATES
    for loss in ("grpo", "unclipped_grpo")
  }
  return finding_of(measure(variants, SEEDS))


def finding_of(runs: Mapping[str, Runs]) -> Finding:
  end = {name: found.solved[:, -1] for name, found in runs.items()}
  without_negatives = {
    policy: end[f"positives only, {policy}"] - end[f"grpo, {policy}"] for policy in POLICIES
  }
  without_clipping = {
    rate: end[f"unclipped_grpo, rate {rate:g}"] - end[f"grpo, rate {rate:g}"] for rate in RATES
  }
  clipped = {
    rate: runs[f"grpo, rate {rate:g}"].metrics["clip_ratio/region_mean"].mean(axis=1)
    for rate in RATES
  }
  essential = {policy: over_seeds(d).high < 0 for policy, d in without_negatives.items()}
  dispensable = {rate: over_seeds(d).high >= 0 for rate, d in without_clipping.items()}
  subclaims = [
    Subclaim(f"negative examples are essential, {policy}", holds)
    for policy, holds in essential.items()
  ]
  subclaims += [
    Subclaim(f"clipping is not required, {UPDATES} updates at rate {rate:g}", holds)
    for rate, holds in dispensable.items()
  ]
  where = " or ".join(policy for policy, holds in essential.items() if holds)
  slow = " or ".join(f"rate {rate:g}" for rate, holds in dispensable.items() if holds)
  if all(subclaim.holds for subclaim in subclaims):
    verdict = HOLDS
  elif where and slow:
    verdict = f"holds under a {where} (negatives) and a {slow} (no clipping)"
  elif slow:
    verdict = f"holds under its second half alone: clipping is not required at {slow}"
  elif where:
    verdict = f"holds under its first half alone: negatives are essential to the {where}"
  else:
    verdict = DOES_NOT_HOLD
  negatives = ", ".join(
    f"{over_seeds(d).signed()} from the {policy}" for policy, d in without_negatives.items()
  )
  clipping = ", ".join(
    f"{over_seeds(d).signed()} at rate {rate:g} (it touches {clipped[rate].mean():.2%} of tokens)"
    for rate, d in without_clipping.items()
  )
  alone = over_seeds(end["negatives only, stronger policy"] - end["grpo, stronger policy"])
  figures = [figure(f"solved, {name}", values) for name, values in end.items()]
  figures += [figure(f"without negatives, {p}", d) for p, d in without_negatives.items()]
  figures += [figure(f"without clipping, rate {r:g}", d) for r, d in without_clipping.items()]
  figures += [figure(f"share of tokens clipped, rate {r:g}", d) for r, d in clipped.items()]
  plots = [_plot(f"Which responses, from the {policy}", runs, policy) for policy in POLICIES]
  plots += [_plot(f"Four updates a step, rate {rate:g}", runs, f"rate {rate:g}") for rate in RATES]
  return Finding(
    verdict,
    f"Without responses below the baseline: {negatives}. Without clipping: {clipping}. With "
    f"those below the baseline alone the stronger policy solves {alone.signed()} against `grpo`.",
    figures,
    plots,
    subclaims,
  )


def _plot(title: str, runs: Mapping[str, Runs], ending: str) -> Plot:
  chosen = {name: found for name, found in runs.items() if name.endswith(ending)}
  curves = [curve(name.split(",")[0], found.steps, found.solved) for name, found in chosen.items()]
  return Plot(title, "step", "solved", curves)
