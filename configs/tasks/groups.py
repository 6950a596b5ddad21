"""Groups of responses that came with scores: GSM8K's four scored solutions, or your own file.

python -m tasks.build gsm8k_groups                           (3 MB; --manual_dir=FOLDER without net)
python -m experiments.train --config=configs/tasks/groups.py
python -m experiments.train --config=configs/tasks/groups.py:algorithm=dpo,k=4
python -m experiments.train --config=configs/tasks/groups.py:data=scored.jsonl,k=8

Trains offline; eval/implied_accuracy is the share of held-out pairs whose better response has the
higher implied reward (0.5 before training), eval/logp_accuracy that whose better one is likelier.

On a laptop, to see that it works (most solutions are cut, so this teaches little):

  ... --config.sampling.max_tokens=80 --config.data.max_prompt_tokens=96 --config.batch_prompts=2
  --config.steps=6 --config.eval.every=6 --config.task.eval_prompts=16
  --config.optimizer.learning_rate=2e-5 --config.optimizer.schedule=constant
  --config.optimizer.warmup_steps=0 --config.data.skip_bad_rows=True

Of the 16 held-out prompts 8 have solutions of unequal score. On their pairs, after these 6 steps:
off_policy_grpo 0.64 +- 0.31 and a KL of 0.0 nats, dpo 0.54 +- 0.34 and 0.6 nats; the share whose
better one is likelier is 0.36 before and 0.45 after both. No clear gain, nor one to be expected
from 48 responses. The full config is for a GPU, and was not run.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(
    arg, algorithm="off_policy_grpo", model="smollm2-135m", data="gsm8k_groups", k=4
  )
  config = common.of_algorithm(arguments.algorithm)
  common.use_scored_texts(config, arguments.data, arguments.model)
  config.task.eval_prompts = 128
  config.group_size, config.batch_prompts = arguments.k, 16
  config.steps = 75  # an epoch of gsm8k_groups
  config.optimizer.warmup_steps = 5
  return config
