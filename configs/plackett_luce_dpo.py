"""Plackett-Luce DPO: a whole ranking of K responses instead of one pair; with K = 2 it is DPO.

With rewards of 0 and 1 a ranking has two levels; --config.task.reward=scorer has more.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("plackett_luce_dpo")
  config.source = "offline"
  common.use_groups_of(config, common.parse_arg(arg, k=4).k)
  config.algorithm.beta = 0.5  # see configs/dpo.py
  config.optimizer.learning_rate = 5e-5
  return config
