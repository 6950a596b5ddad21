"""DPO against GRPO, offline and online, K = 2 and K = 8: same base policy and budget.

Every run makes the same number of updates on 256 responses each, whatever K; 3 seeds. Expect
on-policy GRPO to end highest, K = 2 and K = 8 about level, then off-policy GRPO, then DPO on
offline pairs.
"""

from collections.abc import Iterator
from typing import Any

VARIANTS = (
  {
    "name": "dpo-offline",
    "config": "configs/dpo.py",
    "source": "offline",
    "optimizer.learning_rate": 5e-5,  # at 2e-4 it ends further below the base policy
  },
  {"name": "dpo-online", "config": "configs/dpo.py", "source": "online"},
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2"},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8"},
  {"name": "off-policy-grpo-k8", "config": "configs/off_policy_grpo.py:k=8"},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(3):
    for variant in VARIANTS:
      yield variant | {"seed": seed, "optimizer.warmup_steps": 10}  # Adam's first steps are wild
