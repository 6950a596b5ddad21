"""A reward model: Bradley-Terry on responses that the base policy wrote and the task scored.

It starts from the base policy's network. Policies train on it with --config.scoring.reward=model
(and --config.scoring.model=runs/reward_model to name it). eval/accuracy is the share of held-out
pairs that it ranks right: 0.5 is a guess.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("bradley_terry")
  config.source = "offline"
  config.algorithm.pairs = "all"
  config.group_size = common.parse_arg(arg, k=4).k
  config.batch_prompts = 128
  config.optimizer.learning_rate = 5e-4
  return config
