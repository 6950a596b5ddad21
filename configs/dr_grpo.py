"""Dr. GRPO: GRPO without its divisions by the group's spread and by the response's length.

Groups that are nearly always or never solved are no longer amplified, and a token of a long wrong
answer is pushed down as much as one of a short.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("dr_grpo")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  config.algorithm.max_tokens = config.sampling.get_ref("max_tokens").to_float()
  return config
