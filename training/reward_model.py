"""Reward models: a decoder with one number on top, trained on pairs that the base policy wrote.

The task scores the responses, the model learns to rank them alike, and policies are then trained on
its score instead (config.scoring.reward = "model"). It is the base policy's network with the
language head left aside, trained by the loop that trains everything else.
"""

import dataclasses
import os
from functools import partial
from typing import Any

import jax
from ml_collections import ConfigDict

from models import adapters, scalar_head
from models.model_config import ModelConfig
from models.partitioning import build_sharded
from models.transformer import Params
from training import base_policy, loop, offline_data
from training.build import optimizer_of, parts_of
from training.checking import config_files, digests, optimizer_section, task_signatures, text_tasks
from training.checking.digests import of_recipe
from training.checking.loss_signatures import words_of
from training.errors import UserError
from training.parts import Parts
from training.ranking import RewardModelEvaluation
from training.records.checkpoints import loaded
from training.records.run_folder import Report, RunFolder
from training.shared_runs import folder_at, trained_once
from training.state import new_state


def config_of(config: ConfigDict) -> ConfigDict:
  """The config of the run that makes the reward model which `config` asks for."""
  own = base_policy.plain_training(config)
  model = config.reward_model
  with own.unlocked():
    own.source, own.seed, own.steps = "offline", model.seed, model.steps
    own.batch_prompts, own.group_size = model.batch_prompts, model.group_size
    own.algorithm = ConfigDict({"loss": "bradley_terry", "pairs": "all"})
    own.optimizer = optimizer_section.adamw(model.learning_rate, 0, "linear")
    own.offline.dataset = ""
    own.eval.every = own.checkpoint.every = max(1, model.steps // 4)
    own.wandb.mode = "disabled"
  return own


def ensure(config: ConfigDict, root: str, report: Report) -> RunFolder:
  """The run folder of the reward model, trained first if it is not there (other processes wait)."""
  if config.scoring.model:
    return folder_at(config.scoring.model)
  own = config_of(config)
  folder = folder_at(os.path.join(root, "reward_models", name_of(own)))

  def train() -> None:
    parts = parts_of(own)
    base = base_policy.starting_params(own, parts, root, report)
    fit(parts, folder, base, root, lambda row: report({"doing": "reward model"} | row))

  return trained_once(folder, own, "configs/reward_model.py", train)


def name_of(config: ConfigDict) -> str:
  """Of the folder of the run of this config, which runs share: it holds all that determines it."""
  return f"{task_signatures.label(config.task.name)}-{of_recipe(_determines(config))}"


def fit(parts: Parts, folder: RunFolder, base: Params, root: str, report: Report) -> dict:
  """Trains a reward model from the base policy's network; returns the last metrics."""
  source = offline_data.source_of(parts, base, root, report)
  held_out = text_tasks.held_out_groups(parts.config)
  if held_out is None:
    evaluation = RewardModelEvaluation.of_policy(parts, base)
  else:
    evaluation = RewardModelEvaluation.of_texts(parts, held_out)
  return loop.train(
    parts,
    folder,
    new_state(scalar_head.with_scalar_head(base), parts.mesh, optimizer=parts.optimizer),
    source,
    reference=None,
    report=report,
    evaluation=evaluation,
  )


def params_of(folder: RunFolder, parts: Parts, base: Params, root: str, report: Report) -> Params:
  """The parameters of a trained reward model, for the network of `parts`, in arrays of their own.

  Its checkpoint holds adapters alone if it has any: they are laid over the base policy that it was
  trained from, whatever `base` is. If the policy's are others, they are merged into the weights.

  Raises:
    UserError: the folder holds something else, or the reward model of another task or network.
  """
  saved, status = folder.read_config().get("config"), folder.read_status()
  named = f"scoring.model={folder.path!r}"
  if not saved or status.get("state") != "finished":
    raise UserError(
      f"{named} is no finished run; train one with "
      "python -m experiments.train --config=configs/reward_model.py"
    )
  digests.check_pretrained(folder)
  its_config = config_files.of_record(saved)
  if "scores" not in words_of(its_config):
    raise UserError(f"{named} trained a policy ({saved['algorithm']['loss']}), not a reward model")
  if differ := _differences(its_config, parts.config):
    raise UserError(f"{named} was trained with {'; '.join(differ)}")
  if "eval/accuracy" not in status.get("metrics", {}):
    raise UserError(f"{named} never saw two responses of unequal reward: it has learned nothing")
  its_adapters = {name: saved["model"][name] for name in ("lora_rank", "lora_alpha")}
  model = dataclasses.replace(parts.model, **its_adapters)
  if model.lora_rank:
    its_parts = dataclasses.replace(parts, config=its_config, model=model)
    base = base_policy.starting_params(its_config, its_parts, root, report)
  elif parts.model.lora_rank:
    base = base_policy.shapes_of(dataclasses.replace(parts, model=model))
  start, optimizer = scalar_head.with_scalar_head(base), optimizer_of(its_config)
  build = partial(new_state, mesh=parts.mesh, optimizer=optimizer)
  params = loaded(folder, build, start, parts.mesh).params
  if model == parts.model:
    return params
  return build_sharded(parts.mesh, partial(_with_adapters_of, parts.model, model), params)


def _with_adapters_of(policy: ModelConfig, its_own: ModelConfig, params: Params) -> Params:
  """A reward model with adapters of the policy's shape, whose product is 0; its own are merged."""
  if its_own.lora_rank:
    params = adapters.merged(its_own, params)
  return adapters.add(policy, params, jax.random.key(0)) if policy.lora_rank else params


def _determines(config: ConfigDict) -> dict[str, Any]:
  """All that determines a reward model's weights, of the config of the run that makes it."""
  found: dict[str, Any] = {"base": base_policy.digest_of_base(config)}
  found |= {name: config[name].to_dict() for name in ("task", "reward_model", "sampling")}
  if config.model.lora_rank:
    found["adapters"] = [config.model.lora_rank, config.model.lora_alpha]
  return found


def _differences(its_config: ConfigDict, config: ConfigDict) -> list[str]:
  """["model.d_model=16, this config has 32"], of the fields that must be the same in both."""
  its, ours = (
    {f"task.{name}": value for name, value in one.task.items()}
    | {f"model.{name}": value for name, value in base_policy.model_fields(one).items()}
    for one in (its_config, config)
  )
  return [
    f"{name}={its[name]!r}, this config has {ours.get(name)!r}"
    for name in its
    if its[name] != ours.get(name)
  ]
