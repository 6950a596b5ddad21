"""DPO against GRPO, offline and online, K = 2 and K = 8: same base policy and budget.

Every run makes 60 updates on 256 responses each, whatever K; 3 seeds; about 7 minutes on 2 CPU
cores. Expect all five to raise the sampled reward over the base policy's (0.36), on-policy GRPO and
online DPO to 0.40, off-policy GRPO nearly as far at a third of the KL, DPO on offline pairs least.
The greedy reward hardly moves in so few steps.
"""

from collections.abc import Iterator
from typing import Any

VARIANTS = (
  {"name": "dpo-offline", "config": "configs/dpo.py"},
  {
    "name": "dpo-online",
    "config": "configs/dpo.py",
    "source": "online",
    "optimizer.learning_rate": 2e-4,  # the others'; offline it would end below the base policy
  },
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2"},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8"},
  {"name": "off-policy-grpo-k8", "config": "configs/off_policy_grpo.py:k=8"},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(3):
    for variant in VARIANTS:
      yield variant | {"seed": seed}
