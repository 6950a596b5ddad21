"""Baselines: which mean to subtract from a reward, and whether to divide by the group's spread.

The policy gradient needs no baseline, only less noise. K = 8, 32 prompts, 28 updates on 256 fresh
responses each, no KL; 5 seeds of 7 variants:

  none, running, batch   REINFORCE: nothing, the mean of earlier steps, the mean of the batch
  group                  Dr. GRPO: the mean of the prompt's 8 responses
  leave-one-out          RLOO: the mean of the other 7; the same times 8/7, which Adam undoes
  group-std              GRPO: the group's mean, divided by its spread, and a mean over tokens
  group-std-k-1          the same with the unbiased spread, as TRL has it

Came out at commit 14056b1, sampled reward, mean of 5 seeds: none 0.575, running 0.549, batch 0.538,
group 0.523, group-std-k-1 0.520, leave-one-out 0.520, group-std 0.516; base policy 0.256.
"""

from configs.hyper import Item, product, sweep

VARIANTS: list[Item] = [
  {"name": "none", "config": "configs/reinforce.py:k=8", "algorithm.baseline": "none"},
  {"name": "running", "config": "configs/reinforce.py:k=8", "algorithm.baseline": "running"},
  {"name": "batch", "config": "configs/reinforce.py:k=8", "algorithm.baseline": "batch"},
  {"name": "group", "config": "configs/dr_grpo.py:k=8"},
  {"name": "leave-one-out", "config": "configs/rloo.py:k=8", "algorithm.beta": 0.0},
  {"name": "group-std", "config": "configs/grpo.py:k=8"},
  {"name": "group-std-k-1", "config": "configs/grpo.py:k=8", "algorithm.ddof": 1},
]


def get_sweep() -> list[Item]:
  return product([sweep("seed", range(5)), sweep("eval.every", [7]), VARIANTS])
