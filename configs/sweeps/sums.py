"""A second task: sums in three steps. Is a large group worth its cost, and DPO as good, here too?

The same question as quick.py's on a task of another kind: the response is a chain of running totals
("7+8-9+3=" -> "15 6 9"), the reward looks at the last alone, and one slip spoils it. 28 updates on
256 responses each, 5 seeds; at equal rollouts K = 16 sees an eighth of K = 2's prompts.
Untuned: at the rates of the first task, which are too high for GRPO here.

Came out at commit 6ed6812, sampled reward, mean of 5 seeds: dpo-offline 0.551, dpo-online 0.527,
grpo-k4 0.399, grpo-k16 0.357, grpo-k8 0.351, grpo-k2 0.214; base policy 0.318.
"""

from typing import Any

from configs.hyper import Item, log_uniform, product, sweep

TASK = {"task.name": "running_sum", "sampling.max_tokens": 12}

VARIANTS: list[Item] = [
  {"name": "dpo-offline", "config": "configs/dpo.py"},
  {"name": "dpo-online", "config": "configs/dpo.py", "source": "online"},
  {"name": "grpo-k2", "config": "configs/grpo.py:k=2"},
  {"name": "grpo-k4", "config": "configs/grpo.py:k=4"},
  {"name": "grpo-k8", "config": "configs/grpo.py:k=8"},
  {"name": "grpo-k16", "config": "configs/grpo.py:k=16"},
]


def get_sweep() -> list[Item]:
  return product([sweep("seed", range(5)), [variant | TASK for variant in VARIANTS]])


def get_tuning() -> dict[str, Any]:
  return {
    "optimizer.learning_rate": log_uniform(5e-5, 1e-3),
    "dpo-*": {"algorithm.beta": log_uniform(0.05, 10.0)},
  }
