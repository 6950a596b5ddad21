"""What GRPO needs: responses worse than their group, and the clip of the ratio."""

from collections.abc import Mapping

from experiments.ledger.claim import DOES_NOT_HOLD, HOLDS, Finding, Part, Plot
from experiments.ledger.small_results import Runs, curve, figure, measure, over_seeds
from experiments.ledger.small_training import Variant

SEEDS = range(4)
ALL, UNCLIPPED, ABOVE = "GRPO", "GRPO, no clip", "GRPO, above baseline only"
LOSSES = {ALL: "grpo", UNCLIPPED: "unclipped_grpo", ABOVE: "positives only"}
RATES = (1e-4, 3e-4)


def negatives_and_clipping() -> Finding:
  """ "Negative examples are essential to GRPO, and the clip of the ratio is not." (After arXiv
  2603.18756, 2026.)

  `grpo`, `unclipped_grpo` and GRPO with max(A, 0) in place of A (responses worse than their group
  are left out) train the base policy of the small world: 48 steps of 16 prompts with 4 responses,
  four updates on each step's groups, so that the ratio leaves 1 and the clip can act. Rates 1e-4
  and 3e-4, four seeds; "solved" is the share of held-out words that sampled responses get right.

  Negatives are essential where, beyond the 95 % interval of the paired difference, leaving them out
  solves less; the clip is needed where leaving it out does. It holds if that is so, and not so, at
  both rates.
  """
  variants = {
    f"{name}, rate {rate:g}": Variant(loss, rate, 48, inner_steps=4)
    for rate in RATES
    for name, loss in LOSSES.items()
  }
  return judge(measure(variants, SEEDS))


def judge(runs: Mapping[str, Runs]) -> Finding:
  parts, figures, texts, holding = [], [], [], []
  for rate in RATES:
    found = {name: runs[f"{name}, rate {rate:g}"] for name in LOSSES}
    final = {name: run.solved[:, -1] for name, run in found.items()}
    without_negatives = over_seeds(final[ABOVE] - final[ALL])
    without_clip = over_seeds(final[UNCLIPPED] - final[ALL])
    essential, needed = without_negatives.high < 0, without_clip.high < 0
    parts += [
      Part(f"without responses below the baseline less is solved, rate {rate:g}", essential),
      Part(f"without the clip no less is solved, rate {rate:g}", not needed),
    ]
    if essential and not needed:
      holding.append(rate)
    clipped = found[ALL].metrics["clip_ratio/region_mean"].mean(axis=1)
    figures += [figure(f"solved, {name}, rate {rate:g}", values) for name, values in final.items()]
    figures += [
      figure(f"above baseline only, minus GRPO, rate {rate:g}", final[ABOVE] - final[ALL]),
      figure(f"no clip, minus GRPO, rate {rate:g}", final[UNCLIPPED] - final[ALL]),
      figure(f"share of tokens that GRPO clips, rate {rate:g}", clipped),
    ]
    texts.append(
      f"At rate {rate:g}, leaving the negatives out changes what is solved by "
      f"{without_negatives.signed()}, leaving the clip out by {without_clip.signed()} "
      f"({over_seeds(clipped).mean:.1%} of the tokens were clipped)."
    )
  where = " and ".join(f"rate {rate:g}" for rate in holding)
  verdict = HOLDS if len(holding) == len(RATES) else f"holds under {where}" if holding else ""
  plots = [
    Plot(
      f"{what}, rate {rate:g}",
      "step",
      label,
      [
        curve(
          name, runs[f"{name}, rate {rate:g}"].steps, getattr(runs[f"{name}, rate {rate:g}"], key)
        )
        for name in LOSSES
      ],
    )
    for rate in RATES
    for what, label, key in (
      ("Solved while training", "share of held-out words solved", "solved"),
      ("Distance while training", "KL to the base policy, nats a response", "kl"),
    )
  ]
  return Finding(verdict or DOES_NOT_HOLD, " ".join(texts), figures, plots, parts)
