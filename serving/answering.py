"""A policy made ready to answer people: its parts, its parameters, and how much it reads."""

import os
from typing import Any

from ml_collections import ConfigDict

from models.transformer import Params
from training import base_policy
from training.build import put_together
from training.checking import pretrained_model
from training.checking.config_task import task_of
from training.parts import Parts

LONGEST = 1024  # tokens of a conversation with its answer, for a model that names no limit


def parts_of(config: ConfigDict) -> Parts:
  """The parts; of the task only the tokenizer is needed."""
  few = _merged(config)
  with few.unlocked():
    few.task.update(train_prompts=1, eval_prompts=1)
  return put_together(few, task_of(few))


def params_of(folder: str, config: ConfigDict, parts: Parts, root: str) -> Params:
  """The policy of a run's folder, or of a checkpoint in it; "" is the base policy of the config."""
  if not folder:
    return base_policy.starting_params(_merged(config), parts, root, _silent)
  above, step = os.path.split(folder)
  if os.path.basename(above) != "checkpoints":
    return base_policy.policy_of_run(folder, parts, root, _silent)
  return base_policy.policy_of_run(os.path.dirname(above), parts, root, _silent, int(step))


def context_of(config: ConfigDict) -> int:
  """The most tokens of a conversation and its answer."""
  name = config.model.pretrained
  known = pretrained_model.files(name).context_length if name else None
  return known or LONGEST


def _merged(config: ConfigDict) -> ConfigDict:
  """A copy without adapters, which are merged into the weights."""
  merged = config.copy_and_resolve_references()
  with merged.unlocked():
    merged.model.lora_rank = 0
  return merged


def _silent(row: dict[str, Any]) -> None:
  del row
