"""DPO against GRPO, offline and online, K = 2 and K = 8: same base policy, budget and tuning.

Every run makes 28 updates on 256 responses each, whatever K; 5 seeds. The base policy has learned
four things to do with a word, of which the reward wants one (docs/tasks.md).

Came out at commit 4debd6c, sampled reward, mean of 5 seeds: grpo-k2 0.513, grpo-k8 0.505,
dpo-online 0.483, dpo-offline 0.395, off-policy-grpo-k8 0.385; base policy 0.256.
"""

from collections.abc import Iterator
from typing import Any

from configs.hyper import log_uniform

# The learning rate and beta are the best of 8 trials each, on seeds 1000 and 1001 (get_tuning).
RATE, BETA = "optimizer.learning_rate", "algorithm.beta"
VARIANTS = (
  {"name": "dpo-offline", "config": "configs/dpo.py", RATE: 3.174e-4, BETA: 0.7802},
  {"name": "dpo-online", "config": "configs/dpo.py", RATE: 5.778e-4, BETA: 0.3698}
  | {"source": "online"},
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2", RATE: 5.778e-4, BETA: 0.04},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8", RATE: 5.778e-4, BETA: 0.04},
  {"name": "off-policy-grpo-k8", "config": "configs/off_policy_grpo.py:k=8"}
  | {RATE: 3.292e-4, BETA: 0.0},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(5):
    for variant in VARIANTS:
      yield variant | {"seed": seed}


def get_tuning() -> dict[str, Any]:
  """The ranges in which `experiments.tune --trials=8 --tuning_seeds=2` looked for them."""
  return {
    "optimizer.learning_rate": log_uniform(1e-4, 1e-3),
    "dpo-*": {"algorithm.beta": log_uniform(0.05, 10.0)},
    "*grpo-*": {"algorithm.beta": [0.0, 0.04, 0.2]},
  }
