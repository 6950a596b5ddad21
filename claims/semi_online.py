"""Between online and offline: DPO and GRPO on what a policy wrote that is renewed every s steps."""

from collections.abc import Mapping

import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Finding, Plot, Subclaim
from claims.small_results import Runs, curve, figure, measure, over_seeds
from claims.small_training import Variant

SEEDS, STEPS, RATE = range(4), 128, 3e-4
LOSSES = {"dpo": "dpo beta=1", "grpo": "grpo"}
PERIODS = (1, 4, 16, 64, STEPS)  # s; 1 is online, STEPS offline
EQUAL = 0.25  # of what online training gains: a smaller loss is none


def semi_online() -> Finding:
  """ "Semi-online DPO and GRPO, on responses of a policy that is synchronised every s steps, do as
  well as online; all of them outperform offline training." (Lanchantin et al., 2025, "Bridging
  Offline and Online Reinforcement Learning for LLMs", arXiv 2506.21495.)

  `dpo` (beta = 1, best against worst, the base policy as reference) and `grpo` train the base
  policy for 128 steps on 16 words with 4 responses each, rate 3e-4, four seeds. The responses come
  from the policy as it was at the last multiple of s = 1, 4, 16, 64 or 128 steps.

  s does as well as online if the 95 % interval of the paired difference excludes a loss of more
  than a quarter of what online training gains over the base policy. It holds if s = 4 and 16 do so
  for both losses and both are better than offline beyond the interval; else under those s for which
  this is true.
  """
  variants = {
    _name(loss, s): Variant(branch, RATE, STEPS, period=s)
    for loss, branch in LOSSES.items()
    for s in PERIODS
  }
  return finding_of(measure(variants, SEEDS))


def finding_of(runs: Mapping[str, Runs]) -> Finding:
  subclaims, figures, told, good = [], [], [], []
  for loss in LOSSES:
    end = {s: runs[_name(loss, s)].solved[:, -1] for s in PERIODS}
    margin = EQUAL * float(runs[_name(loss, 1)].gains[:, -1].mean())
    for s in PERIODS[1:-1]:
      difference, ahead = over_seeds(end[s] - end[1]), over_seeds(end[s] - end[STEPS])
      equal, better = difference.low > -margin, ahead.low > 0
      subclaims += [
        Subclaim(f"{loss}, s = {s}: as well as online ({difference.signed()})", equal),
        Subclaim(f"{loss}, s = {s}: better than offline ({ahead.signed()})", better),
      ]
      if equal and better:
        good.append((loss, s))
      figures += [figure(f"{loss}: s = {s} minus online", end[s] - end[1])]
    figures += [figure(f"{loss}: online minus offline", end[1] - end[STEPS])]
    figures += [figure(f"solved, {_name(loss, s)}", values) for s, values in end.items()]
    differences = ", ".join(over_seeds(end[s] - end[1]).signed() for s in PERIODS[1:])
    told.append(f"{loss} {differences} (online {over_seeds(end[1])})")
  if all((loss, s) in good for loss in LOSSES for s in PERIODS[1:3]):
    verdict = HOLDS
  elif good:
    of_loss = {loss: [str(s) for name, s in good if name == loss] for loss in LOSSES}
    where = [f"{loss} with s = {', '.join(those)}" for loss, those in of_loss.items() if those]
    verdict = f"holds under {' and '.join(where)}"
  else:
    verdict = DOES_NOT_HOLD
  summary = f"Solved with s = {', '.join(map(str, PERIODS[1:]))} against online: {'; '.join(told)}."
  return Finding(verdict, summary, figures, _plots(runs), subclaims)


def _name(loss: str, s: int) -> str:
  words = {1: "online", STEPS: "offline"}
  return f"{loss}, {words.get(s, f's = {s}')}"


def _plots(runs: Mapping[str, Runs]) -> list[Plot]:
  by_period = [
    curve(
      loss, np.array(PERIODS), np.stack([runs[_name(loss, s)].solved[:, -1] for s in PERIODS], 1)
    )
    for loss in LOSSES
  ]
  start = next(iter(runs.values())).solved[:, 0].mean()
  by_period.append(Curve("base policy", [PERIODS[0], PERIODS[-1]], [start, start]))
  plots = [Plot("Solved at the end", "s: steps between renewals", "solved", by_period, log_x=True)]
  for loss in LOSSES:
    found = {s: runs[_name(loss, s)] for s in PERIODS}
    curves = [curve(_name(loss, s), x.steps, x.solved) for s, x in found.items()]
    plots.append(Plot(f"{loss} while training", "step", "solved", curves))
  return plots
