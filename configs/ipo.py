"""IPO: DPO's margin pulled to 1/(2 beta) by a square, so that a pair once learned pulls no more.

On pairs that the base policy wrote; --config.source=online lets the policy write them.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("ipo")
  config.source = "offline"
  config.algorithm.beta = 0.5
  common.use_groups_of(config, 2)
  config.optimizer.learning_rate = 5e-5
  return config
