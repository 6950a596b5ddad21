"""DPO in rounds, on the choices of a simulated user; python -m experiments.rounds runs it.

Each round the policy in service writes two responses to each of 2,048 new prompts, a user who knows
the true rewards says which is better, and DPO makes 16 updates from that policy, which is also the
reference. `configs/rounds.py:algorithm=off_policy_grpo` takes another algorithm's config.

Eight rounds (32,768 rollouts, 5.5 CPU-minutes) raised the sampled reward of an earlier base policy,
0.361, by 0.040 and 0.029 (seeds 0 and 1; standard error over prompts 0.004, 32 samples) at KL 0.11
and 0.10. One round of as many rollouts and updates (--config.steps=128, 2.2 CPU-minutes) raises it
by 0.037 and 0.038, at KL 0.05 and 0.06. So here eight rounds do not beat one: at beta = 2 the
policy stays so near that one round's data is still fresh at its end (its effective share is 0.90).
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.of_algorithm(common.parse_arg(arg, algorithm="dpo").algorithm)
  config.source = "rounds"
  config.steps = 16  # updates a round
  config.rounds.judge = "user" if config.group_size == 2 else "task"
  if config.algorithm.loss == "dpo":
    # The reference is renewed every round, so that nothing holds the policy to the first one: eight
    # longer rounds at beta = 0.5 and a rate of 1e-4 went 1.2 nats away, and ended below it.
    config.algorithm.beta = 2.0
  config.optimizer.learning_rate = 5e-5  # Adam begins anew in every round: larger steps wander off
  config.eval.every = config.checkpoint.every = 16
  config.eval.samples = 16  # with 4 the test sees no difference below 0.01
  return config
