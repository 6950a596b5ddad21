"""Whether a config makes sense, checked before jax is imported; its types are right already."""

import functools
import importlib.util
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from experiments.command_line import config_values, loss_signatures
from experiments.errors import UserError, did_you_mean, nearest

_AT_LEAST_1 = """
  steps batch_prompts group_size micro_batches task.train_prompts task.eval_prompts model.layers
  model.d_model model.heads model.kv_heads model.head_dim model.ff_dim base.batch_prompts
  sampling.max_tokens eval.every eval.samples checkpoint.every mesh.data mesh.fsdp mesh.tensor
""".split()
_AT_LEAST_0 = """
  seed base.steps base.seed sampling.top_k optimizer.warmup_steps optimizer.weight_decay
""".split()
_ABOVE_0 = """
  model.rope_theta model.norm_eps base.learning_rate optimizer.learning_rate optimizer.max_grad_norm
""".split()
_BELOW_1 = ("optimizer.b1", "optimizer.b2")
_CHOICES = {
  "source": ("online", "offline", "demonstrations"),
  "task.reward": ("exact", "scorer"),
  "model.dtype": ("float32", "bfloat16"),
  "optimizer.schedule": ("constant", "linear", "cosine"),
  "wandb.mode": ("auto", "online", "offline", "disabled"),
}
# What our own losses accept; a loss of the user's own is its own judge.
_LOSS_CHOICES = {
  "pairs": ("best_worst", "all"),
  "ratio": ("token", "sequence"),
  "weights": ("centered", "standardized", "dpo"),
  "ddof": (0, 1),
}


def check(config: ConfigDict) -> None:
  """Raises UserError with everything that is wrong with the config, one problem a line."""
  values = {key: value for key, (_, value) in config_values.fields(config).items()}
  problems = [
    *_ranges(values),
    *_batches(config),
    *_loss(config),
    *_task(config),
    *_source(config),
  ]
  if config.model.heads % max(config.model.kv_heads, 1):
    problems.append(
      f"model.heads={config.model.heads}: must be a multiple of kv_heads={config.model.kv_heads}"
    )
  if config.model.head_dim % 2:
    problems.append(f"model.head_dim={config.model.head_dim}: rotary positions need an even number")
  if problems:
    raise UserError("\n".join(problems))


def task_names() -> list[str]:
  """The tasks of the installed reasoning-gym; importing it would take seconds."""
  return list(_task_files())


def _ranges(values: dict[str, Any]) -> Iterator[str]:
  for key, value in values.items():
    if isinstance(value, float) and not math.isfinite(value):
      yield f"{key}={value}: must be a finite number"
    elif key in _AT_LEAST_1 and value < 1:
      yield f"{key}={value}: must be at least 1"
    elif key in _AT_LEAST_0 and value < 0:
      yield f"{key}={value}: must not be negative"
    elif key == "sampling.temperature" and value <= 0:
      yield f"{key}={value}: must be above 0 (evaluation samples greedily as well, by itself)"
    elif key in _ABOVE_0 and value <= 0:
      yield f"{key}={value}: must be above 0"
    elif key in _BELOW_1 and not 0 <= value < 1:
      yield f"{key}={value}: must be at least 0 and below 1"
    elif key == "sampling.top_p" and not 0 < value <= 1:
      yield f"{key}={value}: must be above 0 and at most 1 (1: off)"
    elif key in _CHOICES and value not in _CHOICES[key]:
      yield _choose(key, value, _CHOICES[key])
  warmup, steps = values["optimizer.warmup_steps"], values["steps"]
  if warmup > steps:
    yield f"optimizer.warmup_steps={warmup}: the run has only {steps} steps"


def _batches(config: ConfigDict) -> Iterator[str]:
  """The mesh splits the prompts of every micro-batch over its data and fsdp devices."""
  devices, parts = config.mesh.data * config.mesh.fsdp, config.micro_batches
  if min(devices, parts) < 1:
    return  # said already
  batches = [("batch_prompts", config.batch_prompts, parts)]
  batches.append(("task.eval_prompts", config.task.eval_prompts, 1))
  if config.base.steps > 0:
    batches.append(("base.batch_prompts", config.base.batch_prompts, 1))
  for name, prompts, pieces in batches:
    if prompts % (devices * pieces) and prompts > 0:
      over = [f"{pieces} micro-batches"] * (pieces > 1)
      over += [f"mesh.data x mesh.fsdp = {devices} devices"] * (devices > 1)
      step = devices * pieces
      fits = [n for n in (prompts // step * step, (prompts // step + 1) * step) if n]
      yield (
        f"{name}={prompts}: does not divide over {' and '.join(over)}; "
        f"try {' or '.join(map(str, fits))}"
      )
    if name != "task.eval_prompts" and prompts > config.task.train_prompts > 0:
      yield f"{name}={prompts}: there are only task.train_prompts={config.task.train_prompts}"


def _loss(config: ConfigDict) -> Iterator[str]:
  loss, k = config.algorithm.loss, config.group_size
  if loss not in loss_signatures.names():
    return
  if k == 1 and loss == "dpo":
    yield "group_size=1: DPO compares the responses to a prompt, so K must be at least 2"
  elif k == 1 and loss != "sft":
    yield (
      f"group_size=1: {loss}'s advantage is reward minus the group's mean, so K must be at least 2 "
      "(K=1 gives zero gradient). For one response a prompt use configs/sft.py"
    )
  yield from _hyperparameters(config.algorithm.to_dict(), k)


def _hyperparameters(algorithm: dict[str, Any], k: int) -> Iterator[str]:
  """What our own losses ask of the hyperparameters they have."""
  for key, choices in _LOSS_CHOICES.items():
    value = algorithm.get(key, choices[0])
    if value not in choices and key == "pairs" and k > 2:
      yield (
        f"algorithm.pairs={value!r}: which of the {k} responses to a prompt are compared? "
        "Choose best_worst (one pair a prompt) or all (every two of unequal reward)"
      )
    elif value not in choices:
      yield _choose(f"algorithm.{key}", value, choices)
  beta, is_dpo = algorithm.get("beta", 1), "dpo" in (algorithm["loss"], algorithm.get("weights"))
  if is_dpo and beta <= 0:
    yield f"algorithm.beta={beta}: must be above 0 (at 0 DPO's gradient is zero)"
  elif beta < 0:
    yield f"algorithm.beta={beta}: must not be negative (0: no KL term)"
  for key in ("clip_low", "clip_high"):
    if algorithm.get(key, 1) <= 0:
      yield f"algorithm.{key}={algorithm[key]}: must be above 0"
  smoothing = algorithm.get("label_smoothing", 0)
  if not 0 <= smoothing < 0.5:
    yield f"algorithm.label_smoothing={smoothing}: must be at least 0 and below 0.5"


def _task(config: ConfigDict) -> Iterator[str]:
  name, files = config.task.name, _task_files()
  if name not in files:
    hint = did_you_mean(nearest(name, files)) or " Try spell_backward or chain_sum."
    yield f"task.name={name!r}: not among reasoning-gym's {len(files)} tasks.{hint}"
    return
  options = _task_options(files[name])
  for part in filter(None, config.task.options.split(",")):
    option, equals, _ = part.strip().partition("=")
    if not equals:
      yield f"task.options={config.task.options!r}: {part!r} is not name=value"
    elif option not in options:
      hint = did_you_mean(nearest(option, options)) or f" It has {', '.join(options)}."
      yield f"task.options: {name} has no option {option!r}.{hint}"


def _source(config: ConfigDict) -> Iterator[str]:
  if config.source == "demonstrations":
    if config.group_size != 1:
      yield (
        f"source='demonstrations': a prompt has one correct answer, so group_size must be 1, "
        f"not {config.group_size}"
      )
    if "old_logps" in loss_signatures.read(config.algorithm.loss).arrays:
      yield (
        f"source='demonstrations': {config.algorithm.loss} needs old_logps, and no policy wrote "
        "the demonstrations; use the source online or offline"
      )
  dataset = config.offline.dataset
  if dataset and config.source != "offline":
    yield f"offline.dataset={dataset!r}: only source='offline' reads it, not {config.source!r}"
  elif dataset and not os.path.exists(dataset):
    yield f"offline.dataset={dataset!r}: no such file or folder"


def _choose(key: str, value: Any, choices: tuple[Any, ...]) -> str:
  hint = did_you_mean(nearest(str(value), map(str, choices)))
  return f"{key}={value!r}: choose one of {', '.join(map(str, choices))}.{hint}"


@functools.cache
def _task_files() -> dict[str, str]:
  """{task: the file that defines it}."""
  spec = importlib.util.find_spec("reasoning_gym")
  if spec is None or not spec.submodule_search_locations:
    raise UserError("reasoning-gym is not installed: pip install -e .")
  files = {}
  for folder, _, names in os.walk(spec.submodule_search_locations[0]):
    for path in (os.path.join(folder, name) for name in names if name.endswith(".py")):
      with open(path, encoding="utf-8") as file:
        found = re.search(r'^DATASET_NAME = "(\w+)"', file.read(), re.M)
      if found:
        files[found[1]] = path
  return dict(sorted(files.items()))


def _task_options(path: str) -> list[str]:
  """The fields of the task's config dataclass; `seed` and `size` are ours to set."""
  with open(path, encoding="utf-8") as file:
    config = re.search(r"^class \w+Config\b.*?(?=^\S|\Z)", file.read(), re.M | re.S)
  names = re.findall(r"^ {4}(\w+): ", config[0], re.M) if config else []
  return [name for name in names if name not in ("seed", "size")]
