"""Whether a config makes sense, checked before jax is imported; its types are right already."""

import math
import os
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import config_values
from tasks.slips import choose
from training.checking import (
  optimizer_section,
  pretrained_model,
  text_tasks,
  validate_age,
  validate_correction,
  validate_loss,
  validate_mesh,
  validate_reward,
  validate_rounds,
  validate_task,
)
from training.errors import UserError

_AT_LEAST_1 = """
  steps batch_prompts group_size micro_batches minibatches inner_epochs
  task.eval_prompts model.layers
  model.d_model model.heads model.kv_heads model.head_dim model.ff_dim base.batch_prompts
  sampling.max_tokens sampling.sync_every replay.size eval.every eval.samples checkpoint.every
  mesh.data mesh.fsdp mesh.tensor reward_model.steps reward_model.batch_prompts model.logits_at_once
""".split()
_AT_LEAST_0 = """
  seed task.train_prompts base.steps base.seed sampling.top_k optimizer.warmup_steps
  optimizer.weight_decay sampling.refills sampling.lag sampling.prompts_at_once
  scoring.overlong_tokens reference.every reference.target_kl reward_model.seed model.lora_rank
  reference.samples rounds.groups rounds.temperature
""".split()
_ABOVE_0 = """
  model.rope_theta model.norm_eps base.learning_rate optimizer.learning_rate optimizer.max_grad_norm
  reward_model.learning_rate model.lora_alpha scoring.seconds
""".split()
_CHOICES = {
  "source": ("online", "offline", "rounds", "demonstrations"),
  "replay.by": ("uniform", "advantage"),
  "correction.anchor": ("recomputed", "sampler"),
  "rounds.judge": ("task", "user", "people"),
  "reference.memory": ("device", "host"),
  "scoring.reward": ("task", "model"),
  "scoring.missing": ("unscored", "skip"),
  "model.dtype": ("float32", "bfloat16", "auto"),
  "model.attention": ("auto", "plain", "xla", "cudnn", "splash"),
  "model.remat": ("none", "dots", "layers"),
  "wandb.mode": ("auto", "online", "offline", "disabled"),
}


def check(
  config: ConfigDict, *, recurring: bool = False, rows: bool = True, weights: bool = True
) -> None:
  """Raises UserError with everything that is wrong with the config, one problem a line.

  Args:
    recurring: for experiments.rounds, and for nothing else.
    rows: also with the rows of its data sets, which takes as long as reading them.
    weights: also with a pretrained model's folder that has none.
  """
  values = {key: value for key, (_, value) in config_values.fields(config).items()}
  problems = [
    *_ranges(values),
    *_batches(config),
    *validate_loss.problems(config),
    *optimizer_section.problems(config),
    *validate_task.problems(config),
    *(text_tasks.problems(config) if rows else ()),
    *validate_reward.problems(config),
    *_regime(config),
    *validate_age.problems(config),
    *validate_correction.problems(config),
    *validate_rounds.problems(config, recurring),
    *pretrained_model.problems(config, weights=weights),
    *_shape(config),
  ]
  if rows and not problems:
    problems = [*validate_task.problems_of_prompts(config)]
  if problems:
    raise UserError("\n".join(problems))


def _shape(config: ConfigDict) -> Iterator[str]:
  """Problems of the network's shape; a pretrained model's is checked when it is known."""
  if config.model.pretrained:
    return
  yield from validate_mesh.problems(config.mesh.fsdp, config.mesh.tensor, config.model)
  if config.model.heads % max(config.model.kv_heads, 1):
    yield (
      f"model.heads={config.model.heads}: must be a multiple of kv_heads={config.model.kv_heads}"
    )
  if config.model.head_dim % 2:
    yield f"model.head_dim={config.model.head_dim}: rotary positions need an even number"


def _ranges(values: dict[str, Any]) -> Iterator[str]:
  for key, value in values.items():
    if isinstance(value, float) and not math.isfinite(value):
      yield f"{key}={value}: must be a finite number"
    elif key in _AT_LEAST_1 and value < 1:
      yield f"{key}={value}: must be at least 1"
    elif key.rpartition(".")[2] == "seed" and value >= 2**32:
      yield f"{key}={value}: must be below 2^32, or it shares another's random numbers"
    elif key in _AT_LEAST_0 and value < 0:
      yield f"{key}={value}: must not be negative"
    elif key == "sampling.temperature" and value <= 0:
      yield f"{key}={value}: must be above 0 (evaluation samples greedily as well, by itself)"
    elif key in _ABOVE_0 and value <= 0:
      yield f"{key}={value}: must be above 0"
    elif key in ("sampling.top_p", "reference.mix") and not 0 < value <= 1:
      whole = "off" if key == "sampling.top_p" else "the reference becomes the policy"
      yield f"{key}={value}: must be above 0 and at most 1 (1: {whole})"
    elif key in _CHOICES and value not in _CHOICES[key]:
      yield choose(key, value, _CHOICES[key])
  warmup, steps = values["optimizer.warmup_steps"], values["steps"]
  if warmup > steps:
    yield f"optimizer.warmup_steps={warmup}: the run has only {steps} steps"


def _batches(config: ConfigDict) -> Iterator[str]:
  """The mesh splits the prompts of every micro-batch over its data and fsdp devices."""
  devices, parts = config.mesh.data * config.mesh.fsdp, config.micro_batches * config.minibatches
  if min(devices, config.micro_batches, config.minibatches) < 1:
    return  # said already
  batches = [("batch_prompts", config.batch_prompts, parts)]
  batches.append(("task.eval_prompts", config.task.eval_prompts, 1))
  if config.base.steps > 0:
    batches.append(("base.batch_prompts", config.base.batch_prompts, 1))
  if config.scoring.reward == "model" and not config.scoring.model:
    batches.append(("reward_model.batch_prompts", config.reward_model.batch_prompts, 1))
  for name, prompts, pieces in batches:
    if prompts % (devices * pieces) and prompts > 0:
      cut = "micro-batches" if config.minibatches == 1 else "minibatches (x micro-batches)"
      over = [f"{pieces} {cut}"] * (pieces > 1)
      over += [f"mesh.data x mesh.fsdp = {devices} devices"] * (devices > 1)
      step = devices * pieces
      fits = [n for n in (prompts // step * step, (prompts // step + 1) * step) if n]
      yield (
        f"{name}={prompts}: does not divide over {' and '.join(over)}; "
        f"try {' or '.join(map(str, fits))}"
      )
    if name != "task.eval_prompts" and prompts > config.task.train_prompts > 0:
      yield f"{name}={prompts}: there are only task.train_prompts={config.task.train_prompts}"


def _regime(config: ConfigDict) -> Iterator[str]:
  """Options that only mean something together."""
  dataset, scoring, limit = config.offline.dataset, config.scoring, config.sampling.max_tokens
  if dataset and config.source != "offline":
    yield f"offline.dataset={dataset!r}: only source='offline' reads it, not {config.source!r}"
  if config.sampling.refills > 0 and config.source != "online":
    yield f"sampling.refills={config.sampling.refills}: only source='online' samples anew"
  elif config.sampling.refills > 0 and config.group_size == 1:
    yield f"sampling.refills={config.sampling.refills}: a group of one response is always a tie"
  if scoring.model and scoring.reward != "model":
    yield f"scoring.model={scoring.model!r}: only scoring.reward='model' reads it"
  elif scoring.model and not os.path.isdir(scoring.model):
    yield f"scoring.model={scoring.model!r}: no such folder"
  if scoring.overlong_tokens > limit:
    yield f"scoring.overlong_tokens={scoring.overlong_tokens}: above sampling.max_tokens={limit}"
  if config.reference.run and config.model.lora_rank:
    yield (
      f"reference.run={config.reference.run!r}: with adapters (model.lora_rank) the reference is "
      "the policy without them, which is held once; leave one of the two out"
    )
  if config.reference.run and config.reference.every:
    yield (
      f"reference.run={config.reference.run!r}: a reference that moves (reference.every) begins as "
      "the base policy; leave one of the two out"
    )
  if config.reference.memory == "host" and config.model.lora_rank:
    yield (
      "reference.memory='host': with adapters (model.lora_rank) the reference is the policy "
      "without them, and takes no memory: leave this out"
    )
  if config.reward_model.group_size < 2:
    yield f"reward_model.group_size={config.reward_model.group_size}: a pair takes at least 2"
