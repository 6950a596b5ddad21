"""ORPO: supervised training on the better response, and a penalty on the odds of the worse.

No reference: the supervised term is what holds the policy.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("orpo")
  config.source = "offline"
  common.use_groups_of(config, 2)
  config.optimizer.learning_rate = 5e-5
  return config
