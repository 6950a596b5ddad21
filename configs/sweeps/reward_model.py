"""PPO and GRPO on a reward model's score and on the true reward: over-optimisation made visible.

One reward model, trained on 60 x 128 groups that the base policy wrote, scores the first two; the
task's reward scores the last two. Look at "sampled, by the reward model" next to "sampled" in the
report: the first goes on rising when the second no longer does. An answer without an end gets -1
from both. 3 seeds.
"""

from collections.abc import Iterator
from typing import Any

VARIANTS = (
  {"name": "ppo-model", "config": "configs/ppo.py", "scoring.reward": "model"},
  {"name": "grpo-model", "config": "configs/grpo.py:k=8", "scoring.reward": "model"},
  {"name": "ppo-true", "config": "configs/ppo.py"},
  {"name": "grpo-true", "config": "configs/grpo.py:k=8"},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for seed in range(3):
    for variant in VARIANTS:
      yield variant | {"scoring.unfinished": -1.0, "seed": seed}
