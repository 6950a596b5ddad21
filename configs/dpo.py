"""DPO on pairs that the base policy wrote; --config.source=online lets the policy write them.

The better response of a pair is the one with the higher reward; a pair of equal rewards teaches
nothing.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("dpo")
  config.source = "offline"
  # Offline, responses of one short word differ in a letter or two: what lowers the worse response
  # lowers the better one too. With beta = 0.1 it ends 6 nats away, below its base.
  config.algorithm.beta = 0.8
  config.optimizer.learning_rate = 3e-4
  common.use_groups_of(config, 2)
  return config
