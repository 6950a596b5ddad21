"""GRPO, on-policy, K = 8 responses a prompt; grpo.py:k=2 is 2-GRPO on as many responses a step.

Every batch is used for one update, so the ratio to the sampling policy is 1 and the clip does
nothing here; it matters for data that is older (configs/off_policy_grpo.py).
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("grpo")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  return config
