"""SimPO: the mean log-prob a token instead of the log-ratio to a reference, and a target margin.

No reference is computed, and none holds the policy: keep the learning rate low.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("simpo")
  config.source = "offline"
  common.use_groups_of(config, 2)
  config.optimizer.learning_rate = 5e-5
  return config
