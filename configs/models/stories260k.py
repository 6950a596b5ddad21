"""stories260K (a Llama of 260 thousand parameters that writes children's stories), made cheerful.

python -m experiments.train --config=configs/models/stories260k.py --config.model.pretrained=FOLDER
python -m experiments.train --config=configs/models/stories260k.py:algorithm=dpo ...

FOLDER is Karpathy's model (karpathy/tinyllamas) as a Hugging Face folder with its tokenizer.json;
./stories260k if it is not given. The reward is the sentiment of what the model adds to an opening.

Expect GRPO's sampled reward to go from 0.62 to 0.96 in 8 steps and to 0.99 in 24, at a KL of 13 and
33 nats: by then every story is "He loved to play with his friends. He loved to play with". 24 steps
take 1.3 minutes of CPU time.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="grpo", task="sentiment")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, arguments.task)
  config.model.pretrained, config.model.dtype = "stories260k", "auto"  # the folder
  config.batch_prompts //= 2
  config.steps = 24
  config.sampling.max_tokens = 32
  config.optimizer.learning_rate = 3e-4
  config.task.eval_prompts = 64
  config.eval.every = config.checkpoint.every = 4
  return config
