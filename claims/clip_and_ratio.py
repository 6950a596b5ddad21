"""On old data: whether the clip or the importance ratio keeps GRPO stable."""

from collections.abc import Mapping

from claims.claim import DOES_NOT_HOLD, HOLDS, Finding, Plot, Subclaim
from claims.small_losses import CLIP_AND_RATIO
from claims.small_results import Runs, curve, figure, measure, over_seeds
from claims.small_training import Setup, Variant

SEEDS, STEPS, PERIOD = range(4), 96, 24
RATES = (3e-4, 1e-3)
SETUP = Setup(16, 4, losses=tuple(CLIP_AND_RATIO.items()))
BOTH, CLIP, RATIO, NEITHER = CLIP_AND_RATIO


def clip_and_ratio() -> Finding:
  """ "Off-policy, it is the clip that keeps group-relative REINFORCE stable; importance weights can
  be left out." (Yao et al., 2025, "Group-Relative REINFORCE Is Secretly an Off-Policy Algorithm",
  arXiv 2509.24203.)

  Four losses with the advantages r - mean r of the group, averaged over tokens: GRPO's surrogate
  (clip and ratio), `rec_one_side` (its clip as a mask, no ratio), the ratio without the clip, and
  neither. 96 steps on 16 words with 4 responses each; the policy that writes is renewed every 24
  steps, so its responses are up to 23 updates old. Rates 3e-4 and 1e-3, four seeds.

  The clip stabilises if without it less is solved at the higher rate, beyond the 95 % interval of
  the paired difference, with the ratio and without. The ratio can be left out if, with the clip,
  its absence does not lose beyond the interval at either rate. It holds if both are true; if the
  clip stabilises only where there is no ratio, it holds under losses without one.
  """
  variants = {
    f"{loss}, rate {rate:g}": Variant(loss, rate, STEPS, period=PERIOD, setup=SETUP)
    for rate in RATES
    for loss in CLIP_AND_RATIO
  }
  return finding_of(measure(variants, SEEDS))


def finding_of(runs: Mapping[str, Runs]) -> Finding:
  end = {name: found.solved[:, -1] for name, found in runs.items()}

  def difference(loss: str, other: str, rate: float):
    return end[f"{loss}, rate {rate:g}"] - end[f"{other}, rate {rate:g}"]

  unclipped = {
    (pair, rate): difference(*pair, rate)
    for rate in RATES
    for pair in ((RATIO, BOTH), (NEITHER, CLIP))
  }
  unweighted = {
    (pair, rate): difference(*pair, rate)
    for rate in RATES
    for pair in ((CLIP, BOTH), (NEITHER, RATIO))
  }
  clip_matters = {key: over_seeds(d).high < 0 for key, d in unclipped.items()}
  ratio_idle = {rate: over_seeds(unweighted[(CLIP, BOTH), rate]).high >= 0 for rate in RATES}
  with_ratio, without = (clip_matters[pair, RATES[-1]] for pair in ((RATIO, BOTH), (NEITHER, CLIP)))
  ratio_matters = {rate: over_seeds(unweighted[(NEITHER, RATIO), rate]).high < 0 for rate in RATES}
  subclaims = [
    Subclaim(f"rate {rate:g}: {without} solves less than {with_}", holds)
    for ((without, with_), rate), holds in clip_matters.items()
  ]
  subclaims += [
    Subclaim(f"rate {rate:g}: with the clip, no ratio loses nothing", holds)
    for rate, holds in ratio_idle.items()
  ]
  subclaims += [
    Subclaim(f"rate {rate:g}: without the clip, no ratio solves less", holds)
    for rate, holds in ratio_matters.items()
  ]
  if not all(ratio_idle.values()):
    half = "holds under its first half alone: the clip stabilises, but the ratio helps too"
    verdict = half if with_ratio and without else DOES_NOT_HOLD
  elif with_ratio and without:
    verdict = HOLDS
  elif without and ratio_matters[RATES[-1]]:
    verdict = "holds under losses without a ratio: either of the two is enough"
  else:
    verdict = "holds under its second half alone: the ratio can be left out; so can the clip"
  told = "; ".join(
    f"rate {rate:g}: "
    + ", ".join(f"{loss} {over_seeds(end[f'{loss}, rate {rate:g}'])}" for loss in CLIP_AND_RATIO)
    for rate in RATES
  )
  figures = [figure(f"solved, {name}", values) for name, values in end.items()]
  for differences in (unclipped, unweighted):
    figures += [
      figure(f"{a} minus {b}, rate {rate:g}", d) for ((a, b), rate), d in differences.items()
    ]
  figures += [figure(f"KL at the end, {name}", x.kl[:, -1]) for name, x in runs.items()]
  return Finding(verdict, f"Solved at {told}.", figures, _plots(runs), subclaims)


def _plots(runs: Mapping[str, Runs]) -> list[Plot]:
  plots = []
  for rate in RATES:
    of = {loss: runs[f"{loss}, rate {rate:g}"] for loss in CLIP_AND_RATIO}
    curves = [curve(loss, x.steps, x.solved) for loss, x in of.items()]
    plots.append(Plot(f"Solved while training, rate {rate:g}", "step", "solved", curves))
    curves = [curve(loss, x.steps, x.kl) for loss, x in of.items()]
    title = f"KL to the base policy, rate {rate:g}"
    plots.append(Plot(title, "step", "nats a response", curves))
  return plots
