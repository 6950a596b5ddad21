"""Offline GRPO: weighted likelihood of fixed responses, no importance ratio and no clipping.

The weights of a group sum to zero; algorithm.weights=dpo makes the gradient exactly DPO's. Nothing
holds the policy near the reference otherwise, so keep the learning rate low.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("offline_grpo")
  config.source = "offline"
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  config.optimizer.learning_rate = 5e-5  # at 2e-4 it runs 4 nats away, below the base policy
  return config
