"""CISPO: REINFORCE weighted by a ratio that is capped and constant, so no token's push is lost.

Where GRPO's clip drops a token from the gradient, this only limits its weight. Two updates a batch.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("cispo")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  config.inner_epochs = 2
  return config
