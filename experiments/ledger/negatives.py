from experiments.ledger.claim import Finding, Plot
from experiments.ledger.small_results import curve, figure, measure
from experiments.ledger.small_training import Setup, Variant


def negatives_and_clipping() -> Finding:
  """ "x" (y)"""
  variants = {f"{loss} {rate:g}": Variant(loss, rate, 64, inner_steps=4) for rate in (3e-4,1e-3) for loss in ("grpo","unclipped_grpo","positives only","negatives only")}
  runs = measure(Setup(), variants, range(4))
  return Finding("holds","x",[figure(n,r.solved[:,-1]) for n,r in runs.items()]+[figure(n+" clip",r.metrics["clip_ratio/region_mean"].mean(1)) for n,r in runs.items()],[Plot("p","step","solved",[curve(name, found.steps, found.solved) for name, found in runs.items()]),
  Plot("p","step","kl",[curve(name, found.steps, found.kl) for name, found in runs.items()])])
