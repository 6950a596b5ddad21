"""DPO against GRPO, offline and online, K = 2 and K = 8: same base policy, budget and tuning.

Every run makes 32 updates on 256 responses each, whatever K; 5 seeds.
"""

from collections.abc import Iterator
from typing import Any

from configs.hyper import Interval, log_uniform

VARIANTS = (
  {"name": "dpo-offline", "config": "configs/dpo.py"},
  {"name": "dpo-online", "config": "configs/dpo.py", "source": "online"},
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2"},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8"},
  {"name": "off-policy-grpo-k8", "config": "configs/off_policy_grpo.py:k=8"},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(5):
    for variant in VARIANTS:
      yield variant | {"seed": seed}


def get_tuning() -> dict[str, Any]:
  """The fields and ranges that experiments.tune searched for each variant."""
  rate: Interval = log_uniform(1e-4, 1e-3)
  return {
    "optimizer.learning_rate": rate,
    "dpo-*": {"algorithm.beta": log_uniform(0.05, 10.0)},
    "*grpo-*": {"algorithm.beta": [0.0, 0.04, 0.2]},
  }
