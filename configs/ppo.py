"""PPO: one response a prompt, a critic instead of a group, the KL to the reference in the reward.

Each batch of 256 responses is used for four updates, so the clip matters.

The critic begins as the reward model if there is one (--config.scoring.reward=model), else as the
base policy's network with a head of zeros.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  config = common.defaults("ppo")
  common.use_groups_of(config, 1)
  config.inner_epochs = 2
  config.minibatches = 2
  config.scoring.unfinished = -1.0  # the "EOS trick"
  return config
