"""A second task: sums in three steps. Is a large group worth its cost, and DPO as good, here too?

The same question as quick.py's on a task of another kind: the response is a chain of running totals
("7+8-9+3=" -> "15 6 9"), the reward looks at the last alone, and one slip spoils it. 28 updates on
256 responses each, 5 seeds; at equal rollouts K = 16 sees an eighth of K = 2's prompts.
Each variant has its own tuned rate, and DPO its β: at those of the first task GRPO breaks here.

Came out at commit f4f82b7, sampled reward, mean of 5 seeds: grpo-k4 0.594, grpo-k8 0.577, grpo-k2
0.569, dpo-offline 0.553, dpo-online 0.551, grpo-k16 0.547; base policy 0.315.
"""

from typing import Any

from configs.hyper import Item, log_uniform, product, sweep

RATE, BETA = "optimizer.learning_rate", "algorithm.beta"
TASK = {"task.name": "running_sum", "sampling.max_tokens": 12}

# Tuned by `experiments.tune`, eight trials each (docs/results.md).
VARIANTS: list[Item] = [
  {"name": "dpo-offline", "config": "configs/dpo.py", RATE: 1.563e-4, BETA: 0.1624},
  {"name": "dpo-online", "config": "configs/dpo.py", RATE: 9.828e-5, BETA: 0.06789}
  | {"source": "online"},
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2", RATE: 2.247e-4},
  {"name": "grpo-k4", "config": "configs/grpo.py:k=4", RATE: 2.107e-4},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8", RATE: 2.107e-4},
  {"name": "grpo-k16", "config": "configs/grpo.py:k=16", RATE: 9.828e-5},
]


def get_sweep() -> list[Item]:
  return product([sweep("seed", range(5)), [variant | TASK for variant in VARIANTS]])


def get_tuning() -> dict[str, Any]:
  return {
    RATE: log_uniform(5e-5, 1e-3),
    "dpo-*": {BETA: log_uniform(0.05, 10.0)},
  }
