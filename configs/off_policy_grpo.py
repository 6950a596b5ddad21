"""Off-policy GRPO: the clipped surrogate on responses the base policy wrote once, K = 8 a prompt.

Nothing is sampled while training. Expect the sampled reward to go from 0.36 to 0.39, in about 25 s
on 2 CPU cores: between offline DPO and on-policy GRPO, and nearest to the base policy.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("off_policy_grpo")
  config.source = "offline"
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  return config
