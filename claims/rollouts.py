"""The number and the age of responses: group sizes, rounds of collecting, one epoch of old data."""

from collections.abc import Mapping

import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Finding, Plot, Subclaim
from claims.small_losses import LOSSES
from claims.small_results import Runs, curve, figure, frontier, measure, over_seeds
from claims.small_training import Setup, Variant

SEEDS = range(4)

# --- two_rollouts ---------------------------------------------------------------------------------

PROMPTS, GROUPING_STEPS = 16, 72
GRPO = (("grpo", LOSSES["grpo"]),)
GROUPINGS = {
  "16-GRPO": Setup(PROMPTS, 16, losses=GRPO),
  "2-GRPO, same prompts": Setup(PROMPTS, 2),
  "2-GRPO, same rollouts": Setup(8 * PROMPTS, 2, losses=GRPO),
}
RATES = (1e-4, 3e-4)
KEPT = 0.9  # the share of the performance that has to be kept; of the gain it is half


def two_rollouts() -> Finding:
  """ "2-GRPO retains 97.6 % of the performance of 16-GRPO with 12.5 % of the rollouts." (Wu et al.,
  2025, "It Takes Two: Your GRPO Is Secretly DPO", arXiv 2510.00977.)

  `grpo` trains the base policy online for 72 steps, four seeds, rates 1e-4 and 3e-4: 16 words a
  step with 16 responses each, the same 16 words with 2, and 128 words with 2, which are as many
  rollouts as the first. The share of words solved is compared as it is (the claim's performance)
  and as the gain over the base policy.

  It holds if at both rates 2-GRPO on the same words keeps 90 % of the performance and more than
  half of the gain, beyond the 95 % interval; it holds under performance alone if only the first is
  true. Whether it loses at equal rollouts is a subclaim of its own.
  """
  variants = {
    f"{name}, rate {rate:g}": Variant("grpo", rate, GROUPING_STEPS, setup=setup)
    for rate in RATES
    for name, setup in GROUPINGS.items()
  }
  return groupings_finding(measure(variants, SEEDS))


def groupings_finding(runs: Mapping[str, Runs]) -> Finding:
  subclaims, figures, told = [], [], []
  performances, gains = [], []
  for rate in RATES:
    large, small, equal = (runs[f"{name}, rate {rate:g}"] for name in GROUPINGS)
    performance = small.solved[:, -1] / large.solved[:, -1]
    gain = small.gains[:, -1] / large.gains[:, -1]
    advantage = equal.solved[:, -1] - large.solved[:, -1]
    performances.append(over_seeds(performance).low > KEPT)
    gains.append(over_seeds(gain).low > 0.5)
    subclaims += [
      Subclaim(
        f"rate {rate:g}: 2-GRPO keeps {KEPT:.0%} of 16-GRPO's performance", performances[-1]
      ),
      Subclaim(f"rate {rate:g}: it keeps most of 16-GRPO's gain over the base policy", gains[-1]),
      Subclaim(
        f"rate {rate:g}: at equal rollouts it is not worse", over_seeds(advantage).high >= 0
      ),
    ]
    figures += [
      figure(f"2-GRPO / 16-GRPO, solved, rate {rate:g}", performance),
      figure(f"2-GRPO / 16-GRPO, gain, rate {rate:g}", gain),
      figure(f"2-GRPO minus 16-GRPO, equal rollouts, rate {rate:g}", advantage),
    ]
    told.append(
      f"at rate {rate:g} 2-GRPO keeps {over_seeds(performance).mean:.1%} of the performance and "
      f"{over_seeds(gain).mean:.0%} (± {over_seeds(gain).half_width or 0:.0%}) of the gain with an "
      f"eighth of the rollouts; with as many rollouts it is {over_seeds(advantage).signed()} ahead"
    )
  if all(performances) and all(gains):
    verdict = HOLDS
  elif all(performances):
    verdict = "holds under performance counted from zero, not as gain over the base policy"
  else:
    verdict = DOES_NOT_HOLD
  figures += [figure(f"solved, {name}", found.solved[:, -1]) for name, found in runs.items()]
  return Finding(
    verdict,
    f"On words: {'; '.join(told)}.",
    figures,
    [
      Plot(
        f"Solved while training, rate {rate:g}",
        "step",
        "solved",
        [curve(name, found.steps, found.solved) for name, found in _at(runs, rate).items()],
      )
      for rate in RATES
    ]
    + [
      Plot(
        f"Solved by rollouts, rate {rate:g}",
        "rollouts",
        "solved",
        [
          curve(name, found.steps * _rollouts_a_step(name), found.solved)
          for name, found in _at(runs, rate).items()
        ],
      )
      for rate in RATES
    ],
    subclaims,
  )


def _at(runs: Mapping[str, Runs], rate: float) -> dict[str, Runs]:
  return {name: runs[f"{name}, rate {rate:g}"] for name in GROUPINGS}


def _rollouts_a_step(name: str) -> int:
  return GROUPINGS[name].prompts * GROUPINGS[name].group_size


# --- off_policy -----------------------------------------------------------------------------------

STEPS, RATE = 128, 3e-4
ROUNDS = (1, 2, 4, 8)


def off_policy() -> Finding:
  """ "Off-policy GRPO in one epoch keeps up with on-policy GRPO, and recurring rounds of DPO
  approach on-policy RL." (Mroueh et al., 2025, "Revisiting GRPO"; on rounds, Guo et al., 2024.)

  All train the base policy for 128 steps on 16 words with 4 responses each, 8192 rollouts, rate
  3e-4, four seeds. `off_policy_grpo` (its defaults) makes one epoch over what the base policy
  wrote; `grpo` writes anew each step. `dpo` (beta = 1, best against worst) trains in 1, 2, 4 and 8
  rounds, where the policy at the start of a round writes its data and is its reference. For
  comparison it trains in rounds whose reference stays the base policy, and online.

  To keep up is not to be worse beyond the 95 % interval of the paired difference. DPO approaches
  on-policy RL if its 8 rounds keep up with `grpo` and the slope over log2 of the rounds is above 0.
  """
  variants = {
    "grpo, online": Variant("grpo", RATE, STEPS),
    "off_policy_grpo, one epoch": Variant("off_policy_grpo", RATE, STEPS, period=STEPS),
    "dpo, online": Variant("dpo beta=1", RATE, STEPS),
  }
  for n in ROUNDS:
    in_rounds = Variant("dpo beta=1", RATE, STEPS, period=STEPS // n, renew_reference=True)
    variants[_rounds(n)] = in_rounds
  for n in ROUNDS[1:]:
    variants[_fixed(n)] = Variant("dpo beta=1", RATE, STEPS, period=STEPS // n)
  return freshness_finding(measure(variants, SEEDS))


def freshness_finding(runs: Mapping[str, Runs]) -> Finding:
  end = {name: found.solved[:, -1] for name, found in runs.items()}
  online = end["grpo, online"]
  epoch = over_seeds(end["off_policy_grpo, one epoch"] - online)
  most = over_seeds(end[_rounds(ROUNDS[-1])] - online)
  slope = _slope([end[_rounds(n)] for n in ROUNDS])
  fixed = over_seeds(np.mean([end[_fixed(n)] - end[_rounds(n)] for n in ROUNDS[1:]], axis=0))
  keeps_up, approaches = epoch.high >= 0, most.high >= 0 and over_seeds(slope).low > 0
  subclaims = [
    Subclaim("off-policy GRPO in one epoch is not worse than on-policy GRPO", keeps_up),
    Subclaim(f"{ROUNDS[-1]} rounds of DPO are not worse than on-policy GRPO", most.high >= 0),
    Subclaim("more rounds of DPO are better", over_seeds(slope).low > 0),
    Subclaim("rounds need a reference that is renewed", fixed.high < 0),
  ]
  if keeps_up and approaches:
    verdict = HOLDS
  elif approaches:
    verdict = "holds under rounds of DPO, not under one epoch of off-policy GRPO"
  elif most.high >= 0 and not keeps_up:
    verdict = "holds under DPO, which keeps up in however few rounds; off-policy GRPO does not"
  else:
    verdict = "holds under one epoch of off-policy GRPO" if keeps_up else DOES_NOT_HOLD
  by_rounds = ", ".join(f"{over_seeds(end[_rounds(n)]).mean:.3f}" for n in ROUNDS)
  summary = (
    f"Against on-policy GRPO ({over_seeds(online)} solved), off-policy GRPO in one epoch is "
    f"{epoch.signed()} and {ROUNDS[-1]} rounds of DPO are {most.signed()}. DPO in "
    f"{', '.join(map(str, ROUNDS))} rounds solves {by_rounds}, {over_seeds(slope).signed()} a "
    f"doubling; with the base policy as reference throughout, rounds lose {fixed.signed()}."
  )
  figures = [figure(f"solved, {name}", values) for name, values in end.items()]
  figures += [
    figure("off_policy_grpo minus grpo", end["off_policy_grpo, one epoch"] - online),
    figure("8 rounds of DPO minus grpo", end[_rounds(ROUNDS[-1])] - online),
    figure("slope over log2(rounds)", slope),
  ]
  plots = [
    Plot(
      "Solved while training",
      "step",
      "solved",
      [curve(name, found.steps, found.solved) for name, found in runs.items()],
    ),
    Plot(
      "Solved at the end, by rounds",
      "rounds",
      "solved",
      [
        curve(
          "reference renewed", np.array(ROUNDS), np.stack([end[_rounds(n)] for n in ROUNDS], 1)
        ),
        curve(
          "reference fixed", np.array(ROUNDS[1:]), np.stack([end[_fixed(n)] for n in ROUNDS[1:]], 1)
        ),
        curve("grpo, online", np.array([1, ROUNDS[-1]]), np.stack([online, online], 1)),
      ],
      log_x=True,
    ),
    Plot(
      "What the distance buys",
      "KL(policy || base policy), nats a response",
      "solved",
      [frontier(name, found) for name, found in runs.items()],
    ),
  ]
  return Finding(verdict, summary, figures, plots, subclaims)


def _rounds(n: int) -> str:
  return f"dpo, {n} round{'s' if n > 1 else ''}"


def _fixed(n: int) -> str:
  return f"{_rounds(n)}, fixed reference"


def _slope(values: list[np.ndarray]) -> np.ndarray:
  """Returns the least-squares slope of values[i] (one number a seed) over i, [seeds]."""
  i = np.arange(len(values)) - (len(values) - 1) / 2
  return i @ np.stack(values) / (i @ i)
