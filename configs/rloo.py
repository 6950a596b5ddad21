"""RLOO: REINFORCE whose baseline is the mean reward of the prompt's other K - 1 responses.

That baseline leaves the gradient unbiased (the group's own mean scales it by 1 - 1/K). The KL to
the reference is part of the reward.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("rloo")
  common.use_groups_of(config, common.parse_arg(arg, k=4).k)
  return config
