"""REINFORCE: reward less a baseline, times the log-prob; one response a prompt, no ratio, no clip.

The baseline is the batch's mean reward; --config.algorithm.baseline=running takes the mean of
earlier steps, "none" none.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("reinforce")
  common.use_groups_of(config, common.parse_arg(arg, k=1).k)
  return config
