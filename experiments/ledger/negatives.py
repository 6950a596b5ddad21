from experiments.ledger.claim import Finding, Plot
from experiments.ledger.small_results import curve, figure, measure
from experiments.ledger.small_training import Setup, Variant
from experiments.ledger.small_world import base_policy


def negatives_and_clipping() -> Finding:
  """ "x" (y)"""
  variants={}
  for bs in (400,500,1000):
    start={"params":base_policy(bs)}
    for l in ("grpo","positives only"):
      variants[f"{l} 1e-4 inner1 base{bs}"]=Variant(l,1e-4,128,start=start)
    for l in ("grpo","unclipped_grpo","positives only"):
      variants[f"{l} 1e-4 inner4 base{bs}"]=Variant(l,1e-4,64,inner_steps=4,start=start)
  runs = measure(variants, range(4))
  return Finding("holds","x",[figure(n,r.solved[:,-1]) for n,r in runs.items()]+[figure(n+" clip",r.metrics["clip_ratio/region_mean"].mean(1)) for n,r in runs.items()],[Plot("p","step","solved",[curve(name, found.steps, found.solved) for name, found in runs.items()]),
  Plot("p","step","kl",[curve(name, found.steps, found.kl) for name, found in runs.items()])])
