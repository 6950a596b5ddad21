"""DPO in rounds, on the choices of a simulated user; python -m experiments.rounds runs it.

Each round the policy in service writes two responses to each of 2,048 new prompts, a user who knows
the true rewards says which is better, and DPO makes 16 updates from that policy, which is also the
reference. `configs/rounds.py:algorithm=off_policy_grpo` takes another algorithm's config.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.of_algorithm(common.parse_arg(arg, algorithm="dpo").algorithm)
  config.source = "rounds"
  config.steps = 16  # updates a round
  config.rounds.judge = "user" if config.group_size == 2 else "task"
  if config.algorithm.loss == "dpo":
    # The reference moves on with every round, so that nothing holds the policy to the first one:
    # with beta = 0.5 eight rounds of this length go ten times as far and end below it.
    config.algorithm.beta = 2.0
  config.optimizer.learning_rate = 5e-5  # Adam begins anew in every round: larger steps wander off
  config.eval.every = config.checkpoint.every = 16
  config.eval.samples = 16  # with 4 the test sees no difference below 0.01
  return config
