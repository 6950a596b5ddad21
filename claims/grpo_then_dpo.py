"""GRPO first and offline DPO after it, against GRPO alone and against other second halves."""

from collections.abc import Mapping

import jax

from claims.claim import DOES_NOT_HOLD, HOLDS, Finding, Plot, Subclaim
from claims.small_results import Runs, curve, evaluated, figure, over_seeds
from claims.small_training import History, Variant, train

SEEDS, RATE = range(8), 3e-4
HALF = 64  # steps
MATCHES = 0.25  # of what GRPO's second half gains: the loss that has to be excluded
GRPO = Variant("grpo", RATE, HALF)
OFFLINE = Variant("dpo beta=1", RATE, HALF, period=HALF)
SECOND = {"dpo, offline": OFFLINE, "dpo, online": Variant("dpo beta=1", RATE, HALF), "grpo": GRPO}
OTHER_WORDS = 100  # added to the seed of the second half


def grpo_then_dpo() -> Finding:
  """ "GRPO for a while and then offline DPO, on pairs that this policy wrote, matches or
  outperforms GRPO." (Verma and Ravindran, 2026, "How Much Online RL is Enough?", arXiv 2605.21266.)

  `grpo` trains the base policy online for 64 steps on 16 words with 4 responses each, rate 3e-4.
  From its last policy, which is the reference then, 64 steps more, on other words: `dpo` (beta = 1,
  best against worst) offline, on what that policy wrote; `dpo` online; and `grpo` again, all with
  the optimizer begun anew. Each has used 8192 rollouts in the end. Offline DPO also trains from the
  base policy for 64 steps, to compare what it gains. Eight seeds.

  Offline DPO matches GRPO if the 95 % interval of the paired difference excludes a loss of more
  than a quarter of what GRPO's second half gains, and outperforms it if the interval is above 0.
  It holds if it matches.
  """
  first = train({"grpo": GRPO, "dpo, offline": OFFLINE}, SEEDS)
  found: dict[str, list[History]] = {name: [] for name in SECOND}
  for seed, history in zip(SEEDS, first["grpo"], strict=True):
    start = {"params": jax.tree.map(lambda x: x[-1], history.params)}
    variants = {
      name: Variant(v.loss, RATE, HALF, period=v.period, start=start) for name, v in SECOND.items()
    }
    for name, (after,) in train(variants, [seed + OTHER_WORDS]).items():
      found[name].append(after)
  named = {"grpo, first": first["grpo"], "dpo, offline, first": first["dpo, offline"]}
  named |= {f"grpo, then {name}": histories for name, histories in found.items()}
  return finding_of(evaluated(dict.fromkeys(named, GRPO), named))


def finding_of(runs: Mapping[str, Runs]) -> Finding:
  end = {name: found.solved[:, -1] for name, found in runs.items()}
  gain = {name: found.gains[:, -1] for name, found in runs.items()}
  ahead = end["grpo, then dpo, offline"] - end["grpo, then grpo"]
  fresh = end["grpo, then dpo, online"] - end["grpo, then grpo"]
  worth = gain["grpo, then dpo, offline"] - gain["dpo, offline, first"]
  margin = MATCHES * float(gain["grpo, then grpo"].mean())
  subclaims = [
    Subclaim(
      f"GRPO, then offline DPO matches GRPO alone (within {margin:.3f})",
      over_seeds(ahead).low > -margin,
    ),
    Subclaim("GRPO, then offline DPO outperforms GRPO alone", over_seeds(ahead).low > 0),
    Subclaim(
      "offline DPO gains more after GRPO than from the base policy", over_seeds(worth).low > 0
    ),
  ]
  verdict = HOLDS if subclaims[0].holds else DOES_NOT_HOLD
  summary = (
    f"At equal rollouts offline DPO after GRPO solves {over_seeds(ahead).signed()} against GRPO "
    f"alone ({over_seeds(end['grpo, then grpo'])}), online DPO {over_seeds(fresh).signed()}. "
    f"Offline DPO gains {over_seeds(gain['grpo, then dpo, offline']).signed()} after GRPO and "
    f"{over_seeds(gain['dpo, offline, first']).signed()} from the base policy."
  )
  figures = [figure(f"solved, {name}", values) for name, values in end.items()]
  figures += [
    figure("offline DPO after GRPO minus GRPO alone", ahead),
    figure("online DPO after GRPO minus GRPO alone", fresh),
    figure("offline DPO's gain after GRPO minus from the base policy", worth),
  ]
  curves = [
    curve(name, found.steps + (0 if name.endswith("first") else HALF), found.solved)
    for name, found in runs.items()
  ]
  return Finding(verdict, summary, figures, [Plot("Solved", "step", "solved", curves)], subclaims)
