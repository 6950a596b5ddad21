"""Human preferences: DPO on a file of pairs, evaluated by the pairs of prompts held out.

python -m experiments.train --config=configs/tasks/preferences.py:data=pairs.jsonl
python -m experiments.train --config=configs/tasks/preferences.py:algorithm=ipo,data=pairs.jsonl
python -m tasks.build hh_rlhf
python -m experiments.train --config=configs/tasks/preferences.py:data=hh_rlhf,model=Qwen/Qwen3-0.6B

A row is {"messages", "preferred_response", "dispreferred_response"}, TRL's {"prompt", "chosen",
"rejected"}, or another spelling of tasks/rows/row_spellings.py. Split by prompt: task.eval_prompts
prompts are held out with all their pairs.

On a laptop, to see that it works (the lengths cut, 5 minutes of CPU time):

  ... --config.sampling.max_tokens=32 --config.data.max_prompt_tokens=80 --config.batch_prompts=4
  --config.steps=8 --config.eval.every=8 --config.task.eval_prompts=8
  --config.optimizer.learning_rate=2e-5 --config.optimizer.schedule=constant
  --config.optimizer.warmup_steps=0 --config.data.skip_bad_rows=True

On PandaLM's human pairs (888, of which 52 have an empty response; only 153 prompts) these 8 steps
bring the implied accuracy on 8 held-out prompts from 0.5 to 0.58 +- 0.27 and the share whose better
response is likelier from 0.39 to 0.42, at a KL of 0.9 nats: no clear gain, nor one to be expected.
The full config is for a GPU, and was not run.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(arg, algorithm="dpo", model="smollm2-135m", data="hh_rlhf")
  config = common.of_algorithm(arguments.algorithm)
  common.use_scored_texts(config, arguments.data, arguments.model)
  config.task.eval_prompts = 32
  config.group_size, config.batch_prompts = 2, 16
  config.steps = 100
  if "beta" in config.algorithm:
    config.algorithm.beta = 0.1
  config.optimizer.warmup_steps = 10
  return config
