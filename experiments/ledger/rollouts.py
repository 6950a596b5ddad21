"""How many responses to a prompt, and how fresh: group sizes, and rounds of collecting."""

from collections.abc import Mapping

from experiments.ledger.claim import DOES_NOT_HOLD, HOLDS, Finding, Part, Plot
from experiments.ledger.small_losses import LOSSES
from experiments.ledger.small_results import Runs, curve, figure, frontier, measure, over_seeds
from experiments.ledger.small_training import Setup, Variant

SEEDS = range(4)

# --- claim 10 -------------------------------------------------------------------------------------

RATES = (1e-4, 3e-4)
MOST = 0.9  # of what 16-GRPO solves: "retains"
_GRPO = (("grpo", LOSSES["grpo"]),)
LARGE, SMALL, EQUAL = "16-GRPO", "2-GRPO, 1/8 of the rollouts", "2-GRPO, as many rollouts"
GROUPINGS = {
  LARGE: Setup(16, 16, losses=_GRPO),
  SMALL: Setup(16, 2, losses=_GRPO),
  EQUAL: Setup(128, 2, losses=_GRPO),
}


def two_rollouts() -> Finding:
  """ "2-GRPO retains 97.6 % of the performance of 16-GRPO with 12.5 % of the rollouts." (Wu et al.,
  2025, "It Takes Two: Your GRPO Is Secretly DPO", arXiv 2510.00977.)

  `grpo` trains the base policy of the small world for 96 steps, each on freshly sampled groups: 16
  prompts with 16 responses, 16 prompts with 2 (an eighth of the rollouts), and 128 prompts with 2
  (as many rollouts). Learning rates 1e-4 and 3e-4, four seeds. "Solved" is the share of held-out
  words that sampled responses get right.

  It holds where, at both rates, 2-GRPO on an eighth of the rollouts solves at least 0.9 of what
  16-GRPO solves, beyond the 95 % interval over seeds. Its share of the *gain* over the base policy,
  which the base policy's own performance does not flatter, is shown beside it.
  """
  variants = {
    f"{name}, rate {rate:g}": Variant("grpo", rate, 96, setup=setup)
    for rate in RATES
    for name, setup in GROUPINGS.items()
  }
  return judge_two(measure(variants, SEEDS))


def judge_two(runs: Mapping[str, Runs]) -> Finding:
  parts, figures, kept, gained, ahead = [], [], [], [], []
  for rate in RATES:
    large, small, equal = (runs[f"{name}, rate {rate:g}"] for name in GROUPINGS)
    share = small.solved[:, -1] / large.solved[:, -1]
    gain = small.gains[:, -1] / large.gains[:, -1]
    lead = equal.solved[:, -1] - large.solved[:, -1]
    kept.append(over_seeds(share))
    gained.append(over_seeds(gain))
    ahead.append(over_seeds(lead))
    parts += [
      Part(
        f"1/8 of the rollouts keep {MOST:g} of what is solved, rate {rate:g}", kept[-1].low >= MOST
      ),
      Part(f"as many rollouts: 2-GRPO is not behind, rate {rate:g}", ahead[-1].high >= 0),
    ]
    figures += [
      figure(f"solved, {name}, rate {rate:g}", runs[f"{name}, rate {rate:g}"].solved[:, -1])
      for name in GROUPINGS
    ]
    figures += [
      figure(f"1/8 of the rollouts: share of what is solved, rate {rate:g}", share),
      figure(f"1/8 of the rollouts: share of the gain, rate {rate:g}", gain),
      figure(f"as many rollouts: 2-GRPO minus 16-GRPO, rate {rate:g}", lead),
    ]
  keeps = [rate for rate, part in zip(RATES, parts[::2], strict=True) if part.holds]
  where = ", ".join(f"rate {rate:g}" for rate in keeps)
  verdict = (
    HOLDS if len(keeps) == len(RATES) else f"holds under {where}" if keeps else DOES_NOT_HOLD
  )
  summary = (
    f"On an eighth of the rollouts 2-GRPO solves {kept[0].mean:.0%} and {kept[1].mean:.0%} of what "
    f"16-GRPO solves (rates {RATES[0]:g} and {RATES[1]:g}), and gains {gained[0].mean:.0%} and "
    f"{gained[1].mean:.0%} of what that gains over the base policy. On as many rollouts it solves "
    f"{ahead[0].signed()} and {ahead[1].signed()} more."
  )
  plots = [
    Plot(
      f"Solved while training, rate {rate:g}",
      "step",
      "share of held-out words solved",
      [
        curve(name, runs[f"{name}, rate {rate:g}"].steps, runs[f"{name}, rate {rate:g}"].solved)
        for name in GROUPINGS
      ],
    )
    for rate in RATES
  ]
  return Finding(verdict, summary, figures, plots, parts)


# --- claim 11 -------------------------------------------------------------------------------------

STEPS = 128
ROUNDS = (1, 2, 4, 8)


def off_policy() -> Finding:
  """ "The fresher the policy that writes the pairs, the closer preference training comes to
  on-policy reinforcement learning." (After Guo et al., 2024, "Direct Language Model Alignment from
  Online AI Feedback", and Wu et al., 2025, arXiv 2510.00977.)

  128 steps of 16 prompts with 4 responses each, as many rollouts for all, four seeds, rate 3e-4.
  `dpo` (beta = 1) trains in 1, 2, 4 and 8 rounds: each round's groups are written by the policy as
  it was when the round began, which is also the round's reference. Beside it DPO that samples every
  step, `grpo` that samples every step, and `off_policy_grpo` in one epoch over groups that the base
  policy wrote.

  It holds if 8 rounds of DPO solve more than 1, beyond the 95 % interval of the paired difference,
  and are not behind on-policy GRPO by more than that interval.
  """
  variants = {
    "GRPO, on-policy": Variant("grpo", 3e-4, STEPS),
    "off-policy GRPO, one epoch": Variant("off_policy_grpo", 3e-4, STEPS, period=STEPS),
    "DPO, on-policy": Variant("dpo beta=1", 3e-4, STEPS),
  }
  variants |= {
    f"DPO, {n} round{'s' * (n > 1)}": Variant(
      "dpo beta=1", 3e-4, STEPS, period=STEPS // n, renew_reference=True
    )
    for n in ROUNDS
  }
  return judge_rounds(measure(variants, SEEDS))


def judge_rounds(runs: Mapping[str, Runs]) -> Finding:
  final = {name: found.solved[:, -1] for name, found in runs.items()}
  on_policy, epoch = final["GRPO, on-policy"], final["off-policy GRPO, one epoch"]
  one, eight = final["DPO, 1 round"], final["DPO, 8 rounds"]
  fresher, behind = over_seeds(eight - one), over_seeds(on_policy - eight)
  stale = over_seeds(on_policy - epoch)
  parts = [
    Part("8 rounds of DPO solve more than 1 round", fresher.low > 0),
    Part("8 rounds of DPO are not behind on-policy GRPO", behind.low <= 0),
    Part("off-policy GRPO in one epoch is behind on-policy GRPO", stale.low > 0),
  ]
  verdict = DOES_NOT_HOLD
  if parts[0].holds:
    verdict = HOLDS if parts[1].holds else "holds under comparison with fewer rounds, not with GRPO"
  summary = (
    f"Eight rounds of DPO solve {fresher.signed()} more than one round; on-policy GRPO solves "
    f"{behind.signed()} more than those eight rounds, and {stale.signed()} more than off-policy "
    "GRPO in one epoch."
  )
  figures = [figure(f"solved, {name}", values) for name, values in final.items()]
  figures += [
    figure(f"KL to the base policy, {name}", found.kl[:, -1]) for name, found in runs.items()
  ]
  plots = [
    Plot(
      "Solved while training",
      "step",
      "share of held-out words solved",
      [curve(name, found.steps, found.solved) for name, found in runs.items()],
    ),
    Plot(
      "What it cost",
      "KL to the base policy, nats a response",
      "share of held-out words solved",
      [frontier(name, found) for name, found in runs.items()],
    ),
  ]
  return Finding(verdict, summary, figures, plots, parts)
