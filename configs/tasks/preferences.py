"""Human preferences: DPO on a file of pairs, judged by pairs of prompts held out.

python -m experiments.train --config=configs/tasks/preferences.py:data=pairs.jsonl
python -m experiments.train --config=configs/tasks/preferences.py:algorithm=ipo,data=pairs.jsonl
python -m tasks.build hh_rlhf
python -m experiments.train --config=configs/tasks/preferences.py:data=hh_rlhf,model=Qwen/Qwen3-0.6B

A row is {"messages", "preferred_response", "dispreferred_response"}, TRL's {"prompt", "chosen",
"rejected"}, or another spelling of tasks/row_spellings.py. Split by prompt: task.eval_prompts
prompts are held out with all their pairs.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="dpo", model="smollm2-135m", data="hh_rlhf")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, "groups")
  config.task.data = arguments.data
  config.task.eval_prompts = 32
  config.model.pretrained = arguments.model
  config.model.remat = "layers"
  config.source = "offline"
  config.group_size, config.batch_prompts = 2, 16
  config.steps = 100
  config.sampling.max_tokens = 256
  if "beta" in config.algorithm:
    config.algorithm.beta = 0.1
  config.optimizer.learning_rate = 5e-6
  config.optimizer.warmup_steps = 10
  config.eval.every = config.checkpoint.every = 25
  config.eval.samples = 1
  return config
