"""How many responses, and how fresh: group sizes at equal prompts and rollouts, rounds and epochs."""



from experiments.ledger.claim import Finding, Plot
from experiments.ledger.small_losses import LOSSES
from experiments.ledger.small_results import curve, figure, measure
from experiments.ledger.small_training import Setup, Variant

SEEDS = range(4)
STEPS = 96
PROMPTS = 16
GRPO = (("grpo", LOSSES["grpo"]),)
GROUPINGS = {
  "16-GRPO": Setup(PROMPTS, 16, losses=GRPO),
  "2-GRPO, same prompts": Setup(PROMPTS, 2),
  "2-GRPO, same rollouts": Setup(8 * PROMPTS, 2, losses=GRPO),
}


def two_rollouts() -> Finding:
  """ "2-GRPO retains 97.6 % of the performance of 16-GRPO with 12.5 % of the rollouts." (Wu et al.,
  2025, "It Takes Two: Your GRPO Is Secretly DPO", arXiv 2510.00977.)
  """
  variants = {f"{name} {lr}": Variant("grpo", lr, STEPS, setup=setup) for lr in (1e-4,3e-4) for name, setup in GROUPINGS.items()}
  variants["2-GRPO, same prompts 3e-5"]=Variant("grpo", 3e-5, STEPS, setup=Setup(PROMPTS,2))
  runs = measure(variants, SEEDS)
  large, small, equal = list(runs.values())[:3]
  figures = [figure(f"solved, {name}", found.solved[:, -1]) for name, found in runs.items()]
  figures += [
    figure(f"{name} / 16-GRPO, solved", found.solved[:, -1] / large.solved[:, -1])
    for name, found in runs.items()
  ]
  figures += [
    figure(f"{name} / 16-GRPO, gain", found.gains[:, -1] / large.gains[:, -1])
    for name, found in runs.items()
  ]
  return Finding("holds", "x", figures, [
    Plot("p","step","solved",[curve(name, found.steps, found.solved) for name, found in runs.items()])])


def off_policy() -> Finding:
  """ "x" (y)"""
  S=128
  variants = {
    "grpo, online": Variant("grpo", 3e-4, S),
    "off_policy_grpo, one epoch": Variant("off_policy_grpo", 3e-4, S, period=S),
    "dpo, online": Variant("dpo beta=1", 3e-4, S),
  }
  for n in (1,2,4,8):
    variants[f"dpo, {n} rounds"]=Variant("dpo beta=1", 3e-4, S, period=S//n, renew_reference=True)
    variants[f"dpo, {n} rounds, 1e-4"]=Variant("dpo beta=1", 1e-4, S, period=S//n, renew_reference=True)
    if n>1: 
      variants[f"dpo, {n} rounds, fixed"]=Variant("dpo beta=1", 3e-4, S, period=S//n)
      variants[f"grpo, {n} rounds, fixed"]=Variant("grpo", 3e-4, S, period=S//n)
  runs = measure(variants, SEEDS)
  return Finding("holds","x",[figure(n,r.solved[:,-1]) for n,r in runs.items()],[Plot("p","step","solved",[curve(name, found.steps, found.solved) for name, found in runs.items()]),
  Plot("p","step","kl",[curve(name, found.steps, found.kl) for name, found in runs.items()])])
