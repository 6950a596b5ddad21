"""DPO in rounds, on the choices of a simulated user; python -m experiments.rounds runs it.

Each round the policy in service writes two responses to each of 1,024 new prompts, a user who knows
the true rewards says which is better, and DPO makes 8 updates from that policy, which is also the
reference. `configs/rounds.py:algorithm=off_policy_grpo` takes another algorithm's config.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.of_algorithm(common.parse_arg(arg, algorithm="dpo").algorithm)
  config.source = "rounds"
  config.steps = 8  # updates a round
  config.rounds.judge = "user" if config.group_size == 2 else "task"
  config.optimizer.learning_rate = 5e-5  # Adam begins anew in every round: larger steps wander off
  config.eval.every = config.checkpoint.every = 8
  config.eval.samples = 16  # with 4 the test sees no difference below 0.01
  return config
