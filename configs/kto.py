"""KTO: each response by itself is desirable or not (reward above algorithm.threshold); no pairs.

Groups of one response are enough. On responses that the base policy wrote.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("kto")
  config.source = "offline"
  common.use_groups_of(config, common.parse_arg(arg, k=2).k)
  config.algorithm.beta = 0.5  # see configs/dpo.py
  config.optimizer.learning_rate = 2e-5  # at 2e-4 it runs 55 nats away
  # A quarter of the base policy's responses are right; the paper asks for w_d n_d about w_u n_u.
  config.algorithm.desirable_weight = 3.0
  return config
