"""Rounds of DPO with a simulated user."""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="dpo")
  config = common.of_algorithm(arguments.algorithm)
  config.source = "rounds"
  config.rounds.judge = "user"
  config.optimizer.learning_rate = 2e-4
  config.steps = 8  # updates a round
  config.eval.every = config.checkpoint.every = 8
  return config
