"""stories260K (TinyStories, 260 thousand parameters), made more cheerful, or asked another task.

python -m experiments.train --config=configs/models/stories260k.py --config.model.pretrained=FOLDER
python -m experiments.train --config=configs/models/stories260k.py:algorithm=dpo ...

FOLDER is Karpathy's model (karpathy/tinyllamas) as a Hugging Face folder; any other model of
stories does as well.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="grpo", task="sentiment")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, arguments.task)
  config.model.pretrained = "stories260k"  # the folder
  config.batch_prompts //= 2
  config.steps = 24
  config.sampling.max_tokens = 32
  config.optimizer.learning_rate = 3e-4
  config.task.eval_prompts = 64
  config.eval.every = config.checkpoint.every = 4
  return config
