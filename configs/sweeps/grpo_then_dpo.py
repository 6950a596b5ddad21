"""GRPO first, then offline DPO ("G2D", arXiv 2605.21266): are pairs worth more after GRPO?

Every run starts from a policy that 28 updates of GRPO trained (runs/quick/grpo-k8-s0 to s4; run
configs/sweeps/quick.py first), which is its reference, too, and makes 28 updates more on 7,168
responses:

  then-dpo-offline   on pairs that the GRPO policy wrote, before the first of them
  then-dpo-online    on pairs that the policy writes as it learns
  then-grpo-k8       GRPO goes on, anew from the top of its learning-rate schedule

Compare offline DPO's gain here with its gain from the base policy in quick.py.

Came out at commit 8258820, sampled reward, mean of 5 seeds: then-dpo-online 0.593, then-grpo-k8
0.583, then-dpo-offline 0.480.
"""

from collections.abc import Iterator
from typing import Any

from configs.sweeps import quick

FIRST = "runs/quick/grpo-k8-s{seed}"
SECOND = ("dpo-offline", "dpo-online", "grpo-k8")


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(5):
    for variant in quick.VARIANTS:
      if (name := variant["name"]) in SECOND:
        yield variant | {"name": f"then-{name}", "base.run": FIRST.format(seed=seed), "seed": seed}
