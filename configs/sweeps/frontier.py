"""The reward-KL frontier of five algorithms that make a small model's stories more cheerful.

python -m experiments.sweep --config=configs/sweeps/frontier.py --config.model.pretrained=FOLDER

FOLDER: see configs/models/stories260k.py. 6.4 minutes of CPU time. Look at "Reward against KL" in
the report, sampled: the paths from the base policy (0.62). Measured once, sampled reward at KL:

  grpo-k2             0.970 at 24     the online ones go far, and end in one happy sentence
  grpo-k8             0.990 at 33
  dpo-online          0.955 at 12
  dpo-offline         0.892 at 7      still tells a story
  off-policy-grpo-k8  0.674 at 0.3    nearly the base policy
"""

from collections.abc import Iterator
from typing import Any

STORIES = "configs/models/stories260k.py:algorithm="

VARIANTS = (
  {"name": "grpo-k2", "config": STORIES + "grpo", "group_size": 2, "batch_prompts": 64},
  {"name": "grpo-k8", "config": STORIES + "grpo"},
  {"name": "off-policy-grpo-k8", "config": STORIES + "off_policy_grpo"},
  {"name": "dpo-offline", "config": STORIES + "dpo", "algorithm.beta": 0.1},
  {"name": "dpo-online", "config": STORIES + "dpo", "algorithm.beta": 0.1, "source": "online"},
)


def get_sweep() -> Iterator[dict[str, Any]]:
  for variant in VARIANTS:
    yield variant | {"seed": 0}
