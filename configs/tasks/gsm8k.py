"""GSM8K: questions of grade-school maths, rewarded by the number that the response ends in.

python -m tasks.build gsm8k                                  (5 MB; --manual_dir=FOLDER without net)
python -m experiments.train --config=configs/tasks/gsm8k.py
python -m experiments.train --config=configs/tasks/gsm8k.py:algorithm=dapo,model=Qwen/Qwen3-0.6B

Trains on the train split, evaluates on questions of the test split.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="grpo", model="smollm2-135m")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, "gsm8k")
  config.model.pretrained = arguments.model
  config.model.remat, config.model.dtype = "layers", "auto"
  config.task.train_prompts = 0
  config.task.eval_prompts = 256
  config.steps = 200
  config.sampling.max_tokens = 256
  config.optimizer.learning_rate = 1e-6
  config.optimizer.warmup_steps = 10
  config.optimizer.schedule = "constant"
  config.eval.every = config.checkpoint.every = 20
  return config
