"""stories260K (TinyStories, 260 thousand parameters), made more cheerful, or asked another task.

python -m experiments.train --config=configs/models/stories260k.py --config.model.pretrained=FOLDER
python -m experiments.train --config=configs/models/stories260k.py:algorithm=dpo ...

FOLDER is Karpathy's model (karpathy/tinyllamas) as a Hugging Face folder; any other model of
stories does as well.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="grpo", task="sentiment")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, arguments.task)
  config.model.pretrained = config_dict.required_placeholder(str)
  config.sampling.max_tokens = 48
  config.optimizer.learning_rate = 3e-4
  config.steps = 40
  config.task.eval_prompts = 128
  return config
