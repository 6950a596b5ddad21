"""GSPO: GRPO with one importance ratio a response, its length-th root, and a very narrow clip.

Two updates a batch: in the first the ratio is 1 and the clip does nothing.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("gspo")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  config.inner_epochs = 2
  return config
