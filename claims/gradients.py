"""Where DPO and GRPO agree: parallel gradients, equal gradients, and weights that sum to zero."""

from collections.abc import Mapping

import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Figure, Finding, Plot, Subclaim
from claims.gradient_comparison import LENGTHS, LOSSES, Compared, apart, compare
from claims.small_results import Runs, curve, evaluated, figure, frontier, measure, over_seeds
from claims.small_training import Setup, Variant, train

SEEDS = range(4)
STEPS = 128
PARALLEL = 1e-5  # 1 - cosine that float32 rounding may cause
SAME = 1e-3  # relative difference that float32 rounding may cause in a training run
PAIRS_OF_BASE = Setup(group_size=2)


# --- parallel_gradients ---------------------------------------------------------------------------


def parallel_gradients() -> Finding:
  """ "At pi_theta = pi_ref the gradients of DPO and of GRPO with two responses are parallel."
  (After Wu et al., 2025, "It Takes Two: Your GRPO Is Secretly DPO", arXiv 2510.00977.)

  Gradients are taken in all 47 thousand parameters, on 64 pairs of a right and a wrong response
  that the base policy wrote, 1 to 6 tokens long, and on 64 of 6 tokens each. `dpo` (beta = 0.1) is
  compared with 2-GRPO on the ratio of whole responses, on the ratio of tokens (`unclipped_grpo`,
  whose tokens are averaged by response), with clipping at 0.2, and with a KL term of 0.04; at the
  base policy and while DPO trains from there, 128 steps of 16 pairs at rates 3e-5 and 3e-4. "No
  ratio" is 2-GRPO on responses of its own, where the ratio is 1: weights +1 and -1.

  Parallel means a cosine within 1e-5 of 1 at all four seeds. It holds if the gradients are parallel
  at the base policy whatever the lengths; it holds under conditions if they are parallel there with
  ratios of whole responses, and with ratios of tokens when lengths are equal.
  """
  variants = {
    "slow": Variant("dpo", 3e-5, STEPS, period=STEPS, setup=PAIRS_OF_BASE),
    "fast": Variant("dpo", 3e-4, STEPS, period=STEPS, setup=PAIRS_OF_BASE),
  }
  histories = train(variants, SEEDS)
  runs = evaluated(variants, histories)
  at_base = {lengths: compare(histories["slow"], lengths) for lengths in LENGTHS}
  on_the_way = {"slow": at_base[LENGTHS[1]], "fast": compare(histories["fast"], LENGTHS[1])}
  return parallel_finding(at_base, on_the_way, runs)


def parallel_finding(
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
  subclaims = [
    Subclaim(
      "at the reference, with the ratio of whole responses, whatever the lengths; neither clipping "
      "nor the KL term changes that",
      all(parallel(loss, *LENGTHS) for loss in whole),
    ),
    Subclaim(
      "the same with the ratio of tokens, all lengths equal", parallel("token ratio", LENGTHS[0])
    ),
    Subclaim(
      "the same with the ratio of tokens, lengths unequal", parallel("token ratio", *LENGTHS[1:])
    ),
  ]
  if all(subclaim.holds for subclaim in subclaims):
    verdict = HOLDS
  elif subclaims[0].holds and subclaims[1].holds:
    verdict = "holds under a ratio of whole responses, or responses of equal length"
  else:
    verdict = DOES_NOT_HOLD
  end = {loss: over_seeds(on_the_way["fast"].cosine[loss][:, -1]).mean for loss in LOSSES}
  kl = over_seeds(runs["fast"].kl[:, -1]).mean
  largest = max(values.max() for (loss, _), values in start.items() if loss in whole)
  ragged = over_seeds(1 - start["token ratio", LENGTHS[1]]).mean
  summary = (
    f"At the reference 1 - cosine is at most {largest:.0e} with whole responses; with tokens "
    f"averaged by response the cosine is {ragged:.3f} when lengths differ. Once DPO has moved "
    f"{kl:.1f} nats away it is {end['sequence ratio']:.2f} with the ratio, "
    f"{end['sequence ratio, clipped']:.2f} clipped, "
    f"{end['sequence ratio, clipped, KL']:.2f} with the KL term too, and {end['no ratio']:.2f} "
    "without a ratio."
  )
  figures = [
    figure(f"1 - cosine at the reference, {loss}, {lengths}", values)
    for (loss, lengths), values in start.items()
    if loss != "dpo as weights"
  ]
  figures += [
    figure(f"cosine {kl:.1f} nats away, {loss}", on_the_way["fast"].cosine[loss][:, -1])
    for loss in LOSSES
  ]
  plots = [
    Plot(
      f"How parallel 2-GRPO's gradient stays to DPO's (DPO trained, rate {rate})",
      "KL(policy || reference), nats a response",
      "cosine with DPO's gradient",
      [
        curve(loss, runs[name].kl.mean(axis=0), on_the_way[name].cosine[loss])
        for loss in LOSSES
        if loss != "dpo as weights"
      ],
    )
    for name, rate in (("fast", "3e-4"), ("slow", "3e-5"))
  ]
  return Finding(verdict, summary, figures, plots, subclaims)


# --- offline_grpo_is_dpo --------------------------------------------------------------------------


def offline_grpo_is_dpo() -> Finding:
  """ "Offline GRPO on pairs with the weights +-beta (1 - sigmoid(z)) is DPO, at every theta."
  (DPO's gradient is in Rafailov et al., 2023, section 4.)

  `dpo` and `offline_grpo(weights="dpo")`, both with beta = 0.1, train from the base policy on the
  same 2048 pairs that it wrote, in 128 steps at a rate of 3e-4, four seeds. At nine moments of
  DPO's training both gradients in all parameters are taken on 64 fixed pairs; at the end the
  parameters of the two runs are compared, in units of the distance that DPO has moved.

  It holds if both relative differences stay below 1e-3 at every seed: Adam divides by the
  gradient's size, which magnifies rounding errors where it is small.
  """
  variants = {
    name: Variant(name, 3e-4, STEPS, period=STEPS, setup=PAIRS_OF_BASE)
    for name in ("dpo", "dpo as weights")
  }
  histories = train(variants, SEEDS)
  gradients = compare(histories["dpo"], LENGTHS[1]).difference["dpo as weights"]
  parameters = np.array([apart(*both) for both in zip(*histories.values(), strict=True)])
  runs = evaluated(variants, histories)
  steps = runs["dpo"].steps
  worst = float(gradients.max()), float(parameters[:, -1].max())
  kl = over_seeds(runs["dpo"].kl[:, -1]).mean
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
      figure("KL to the reference at the end, nats", runs["dpo"].kl[:, -1]),
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


# --- zero_sum_weights -----------------------------------------------------------------------------

ZERO_SUM = ("centered", "standardized", "dpo as weights", "dpo beta=1 as weights")
NOT_ZERO_SUM = ("raw rewards", "shifted rewards")


def zero_sum_weights() -> Finding:
  """ "Any weights on the log-probs of a group's responses that sum to zero give a valid contrastive
  update." (The reading of GRPO and DPO as contrastive losses: Wu et al., 2025, arXiv 2510.00977.)

  `offline_grpo` trains for one epoch on 2048 groups of 4 that the base policy wrote (128 steps of
  16, rate 1e-4, four seeds), with four kinds of weights: r - mean r, the same divided by the
  group's standard deviation, and DPO's +-beta (1 - sigmoid(z)) for beta = 0.1 and 1. Two further
  kinds do not sum to zero: the reward itself (1 or 0), and the reward minus 1.

  Valid means that more is solved than by the base policy, beyond the 95 % interval: after the first
  16 steps, and at the end. It holds if all four are valid at the end, and it holds under few steps
  if all four are valid after the first 16.
  """
  names = (*ZERO_SUM, *NOT_ZERO_SUM)
  variants = {name: Variant(name, 1e-4, STEPS, period=STEPS) for name in names}
  return zero_sum_finding(measure(variants, SEEDS))


def zero_sum_finding(runs: Mapping[str, Runs]) -> Finding:
  gains = {name: found.gains for name, found in runs.items()}

  def better(name: str, place: int) -> bool:
    return over_seeds(gains[name][:, place]).low > 0

  early = {name: better(name, 1) for name in runs}
  late = {name: better(name, -1) for name in runs}
  first = int(runs["centered"].steps[1])
  subclaims = [
    Subclaim(f"{name}: better than the base policy after {first} steps", early[name])
    for name in runs
  ]
  subclaims += [Subclaim(f"{name}: still better after {STEPS} steps", late[name]) for name in runs]
  if all(late[name] for name in ZERO_SUM):
    verdict = HOLDS
  elif all(early[name] for name in ZERO_SUM):
    kept = [name for name in ZERO_SUM if late[name]]
    brake = f", or weights that fade ({' and '.join(kept)})" if kept else ""
    verdict = f"holds under few steps ({first} here){brake}"
  else:
    verdict = DOES_NOT_HOLD
  ends = ", ".join(f"{name} {over_seeds(gains[name][:, -1]).signed()}" for name in runs)
  starts = ", ".join(f"{name} {over_seeds(gains[name][:, 1]).signed()}" for name in ZERO_SUM)
  return Finding(
    verdict,
    f"Gain over the base policy after {first} steps: {starts}. After {STEPS}: {ends}. Nothing but "
    "a weight that fades as the margin grows stops pushing wrong responses down.",
    [figure(f"gain after {first} steps, {name}", gains[name][:, 1]) for name in runs]
    + [figure(f"gain at the end, {name}", gains[name][:, -1]) for name in runs]
    + [figure(f"KL at the end, {name}, nats", runs[name].kl[:, -1]) for name in runs],
    [
      Plot(
        "Solved while training offline",
        "step",
        "solved",
        [curve(name, found.steps, found.solved) for name, found in runs.items()],
      ),
      Plot(
        "How far from the base policy",
        "step",
        "KL(policy || base policy), nats a response",
        [curve(name, found.steps, found.kl) for name, found in runs.items()],
      ),
      Plot(
        "What the distance buys",
        "KL(policy || base policy), nats a response",
        "solved",
        [frontier(name, found) for name, found in runs.items()],
      ),
    ],
    subclaims,
  )
