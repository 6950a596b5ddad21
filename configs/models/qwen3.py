"""Qwen3 of 0.6 to 32 billion parameters, GRPO or DPO on 2,048 tokens, on chips that hold it.

python -m experiments.train --config=configs/models/qwen3.py:size=0.6b,chips=h100-1
python -m experiments.train --config=configs/models/qwen3.py:algorithm=dpo,data=pairs.jsonl
python -m experiments.train --config=configs/models/qwen3.py:size=8b,chips=v5p-32 --target=v5p-32

`chips` sets the mesh and what must be cut into pieces to fit; `model` is the folder of the weights,
or the hub's if it is not given. GRPO trains on GSM8K (python -m tasks.build gsm8k), 8 responses a
prompt; DPO on pairs. Both are compiled for these chips (docs/scaling.md has the figures), and were
not run on one.
"""

from ml_collections import ConfigDict

from configs import common

# As published: https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/config.json, and so on.
SIZES = {
  "0.6b": {"layers": 28, "d_model": 1024, "heads": 16, "ff_dim": 3072, "tied": True},
  "4b": {"layers": 36, "d_model": 2560, "heads": 32, "ff_dim": 9728, "tied": True},
  "8b": {"layers": 36, "d_model": 4096, "heads": 32, "ff_dim": 12288, "tied": False},
  "32b": {"layers": 64, "d_model": 5120, "heads": 64, "ff_dim": 25600, "tied": False},
}
SHARED = {"kv_heads": 8, "head_dim": 128, "qk_norm": True, "rope_theta": 1e6, "norm_eps": 1e-6}

# By chips: the mesh (fsdp, tensor); prompts a step and a micro-batch on a device, if 8 responses go
# with each; logits at once, on a device.
CHIPS = {
  "h100-1": ((1, 1), 24, 24, 2**28),
  "h100-8": ((8, 1), 8, 8, 2**28),
  "v5e-4": ((4, 1), 4, 1, 2**27),
  "v5e-16": ((8, 2), 1, 1, 2**26),
  "v5p-32": ((16, 1), 2, 2, 2**28),
  "v5p-128": ((16, 4), 2, 2, 2**28),
}


def get_config(arg: str = "") -> ConfigDict:
  arguments = common.parse_arg(
    arg, size="0.6b", chips="h100-1", algorithm="grpo", model="", data="hh_rlhf"
  )
  for name, known in (("size", SIZES), ("chips", CHIPS)):
    if getattr(arguments, name) not in known:
      raise common.ArgumentError(
        f"{name}={getattr(arguments, name)}: choose one of {', '.join(known)}"
      )
  config = common.of_algorithm(arguments.algorithm)
  if config.source == "offline":
    common.use_scored_texts(config, arguments.data, model="")
    config.group_size = 2
  else:
    common.use_task(config, "gsm8k")
    config.task.train_prompts = 0
    config.optimizer.learning_rate = 1e-6
    config.group_size = 8
  config.model.pretrained = arguments.model or f"Qwen/Qwen3-{arguments.size.upper()}"
  config.model.update(SIZES[arguments.size] | SHARED)  # a folder of another size is refused
  config.model.remat, config.model.dtype = "layers", "auto"
  use_chips(config, *CHIPS[arguments.chips])
  if arguments.chips == "v5e-16":
    config.reference.memory = "host"
  config.steps = 200
  config.sampling.max_tokens = 2048 - 256
  config.data.max_prompt_tokens = 256
  config.optimizer.warmup_steps = 10
  config.optimizer.schedule = "constant"
  config.task.eval_prompts = 64
  config.eval.every = config.checkpoint.every = 20
  config.eval.samples = 1
  return config


def use_chips(
  config: ConfigDict, mesh: tuple[int, int], step: int, at_once: int, logits: int
) -> None:
  """Sets the mesh, prompts a step, and how much of them is computed at a time."""
  config.mesh.fsdp, config.mesh.tensor = mesh
  config.batch_prompts = step * config.mesh.fsdp * 8 // config.group_size
  config.micro_batches = step // at_once
  config.model.logits_at_once = config.mesh.fsdp * logits
