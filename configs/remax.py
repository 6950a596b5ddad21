"""ReMax: REINFORCE whose baseline is the reward of the policy's greedy response to the prompt.

That response is a rollout, too: a step has 256 of them, K + 1 to each prompt. With K = 1, the
paper's, half of the rollouts are baselines.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config = common.defaults("remax")
  config.group_size = common.parse_arg(arg, k=1).k
  config.batch_prompts = common.RESPONSES_A_STEP // (max(config.group_size, 0) + 1)
  return config
