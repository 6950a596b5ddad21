"""SFT: more supervised training on correct answers, the yardstick for the losses that use rewards.

No response is sampled to train on, so `rollouts` stays 0.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("sft")
  config.source = "demonstrations"
  common.use_groups_of(config, 1)
  return config
