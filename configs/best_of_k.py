"""Best of K: sample K responses, imitate the best (rejection-sampling fine-tuning).

The loss is `sft`, on the policy's own responses (RAFT: Dong et al., 2023). It has no negative
examples: what is wrong is never pushed down.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("sft")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  return config
