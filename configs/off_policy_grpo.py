"""Off-policy GRPO: the clipped surrogate on responses the base policy wrote once, K = 8 a prompt.

Nothing is sampled while training.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("off_policy_grpo")
  config.source = "offline"
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  return config
