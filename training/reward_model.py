"""Reward models: a decoder with one number on top, trained on pairs that the base policy wrote.

The task scores the responses, the model learns to rank them alike, and policies are then trained on
its score instead (config.scoring.reward = "model"). It is the base policy's network with the
language head left aside, trained by the loop that trains everything else.
"""

import os
from functools import partial

from ml_collections import ConfigDict

from models import scalar_head
from models.transformer import Params
from training import base_policy, loop, offline_data
from training.base_policy import Report
from training.build import optimizer_of, parts_of
from training.checking import optimizer_section, task_signatures, text_tasks
from training.checking.digests import of_recipe
from training.checking.loss_signatures import words_of
from training.errors import UserError
from training.parts import Parts
from training.ranking import RewardModelEvaluation
from training.records.checkpoints import loaded
from training.records.run_folder import RunFolder
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
  determines = {"base": base_policy.digest_of_base(config)}
  determines |= {name: own[name].to_dict() for name in ("task", "reward_model", "sampling")}
  name = f"{task_signatures.label(config.task.name)}-{of_recipe(determines)}"
  folder = folder_at(os.path.join(root, "reward_models", name))

  def train() -> None:
    parts = parts_of(own)
    base = base_policy.starting_params(own, parts, root, report)
    fit(parts, folder, base, root, lambda row: report({"doing": "reward model"} | row))

  return trained_once(folder, own, "configs/reward_model.py", train)


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


def params_of(folder: RunFolder, parts: Parts, base: Params) -> Params:
  """The parameters of a trained reward model. UserError when the folder holds something else."""
  saved, status = folder.read_config().get("config"), folder.read_status()
  named = f"scoring.model={folder.path!r}"
  if not saved or status.get("state") != "finished":
    raise UserError(
      f"{named} is no finished run; train one with "
      "python -m experiments.train --config=configs/reward_model.py"
    )
  if "scores" not in words_of(ConfigDict(saved)):
    raise UserError(f"{named} trained a policy ({saved['algorithm']['loss']}), not a reward model")
  for section in ("task", "model"):
    if saved[section] != parts.config[section].to_dict():
      raise UserError(
        f"{named} has another `{section}` section than this config; see its config.json"
      )
  if "eval/accuracy" not in status.get("metrics", {}):
    raise UserError(f"{named} never saw two responses of unequal reward: it has learned nothing")
  start, optimizer = scalar_head.with_scalar_head(base), optimizer_of(ConfigDict(saved))
  build = partial(new_state, mesh=parts.mesh, optimizer=optimizer)
  return loaded(folder, build, start, parts.mesh).params
