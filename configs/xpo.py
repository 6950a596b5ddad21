"""XPO: online DPO of a response of the policy against one of the reference, and less of the latter.

With K = 2 one is the policy's and one the reference's.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("xpo")
  common.use_groups_of(config, common.parse_arg(arg, k=2).k)
  config.optimizer.learning_rate = 2e-4  # that of online DPO
  return config
