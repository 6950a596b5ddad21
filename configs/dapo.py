"""DAPO: GRPO with a higher upper clip, a mean over tokens, and no groups of equal rewards.

Groups of equal rewards teach nothing: they are replaced by fresh ones, twice a step at most, and
the responses that this drops count as rollouts. Two updates a batch, so that the clip matters.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("dapo")
  common.use_groups_of(config, common.parse_arg(arg, k=8).k)
  config.inner_epochs = 2
  config.sampling.refills = 2
  config.scoring.overlong_tokens = 0  # words are short; for long answers an eighth of max_tokens
  return config
