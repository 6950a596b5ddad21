"""Reward models: a decoder with one number on top, trained on pairs that the base policy wrote.

The task judges the pairs, the model learns to judge alike, and policies are then trained on its
score instead (config.scoring.reward = "model"). It is the base policy's network with the language
head left aside, trained by the loop that trains everything else.
"""

import os

import numpy as np
from ml_collections import ConfigDict

from models import scalar_head
from models.transformer import Params
from training import base_policy, dataset, hosts, loop, setup
from training.annotate import words_of
from training.base_policy import Report
from training.checking import text_tasks
from training.checking.digests import of_recipe
from training.checkpoints import loaded
from training.collect import key_for
from training.errors import UserError
from training.evaluation import draw_held_out
from training.held_out_groups import RewardModelJudge
from training.locks import trained_once
from training.run_folder import RunFolder
from training.scoring import compiled_scores
from training.setup import Parts
from training.state import new_state


def config_of(config: ConfigDict) -> ConfigDict:
  """The config of the run that makes the reward model which `config` asks for."""
  own = setup.plain(config)
  model = config.reward_model
  with own.unlocked():
    own.source, own.seed, own.steps = "offline", model.seed, model.steps
    own.batch_prompts, own.group_size = model.batch_prompts, model.group_size
    own.algorithm = ConfigDict({"loss": "bradley_terry", "pairs": "all"})
    own.optimizer.update(
      learning_rate=model.learning_rate,
      warmup_steps=0,
      schedule="linear",
      weight_decay=0.0,
      max_grad_norm=1.0,
      b1=0.9,
      b2=0.95,
    )
    own.offline.dataset = ""
    own.eval.every = own.checkpoint.every = max(1, model.steps // 4)
    own.wandb.mode = "disabled"
  return own


def ensure(config: ConfigDict, root: str, report: Report) -> RunFolder:
  """The run folder of the reward model, trained first if it is not there (other processes wait)."""
  if config.scoring.model:
    return hosts.run_folder(config.scoring.model)
  own = config_of(config)
  determines = {"base": base_policy.digest_of_base(config)}
  determines |= {name: own[name].to_dict() for name in ("task", "reward_model", "sampling")}
  name = f"{config.task.name}-{of_recipe(determines)}"
  folder = hosts.run_folder(os.path.join(root, "reward_models", name))

  def train() -> None:
    parts = Parts.of(own)
    base = base_policy.starting_params(own, parts, root, report)
    fit(parts, folder, base, root, lambda row: report({"doing": "reward model"} | row))

  return trained_once(folder, own, "configs/reward_model.py", train)


def fit(parts: Parts, folder: RunFolder, base: Params, root: str, report: Report) -> dict:
  """Trains a reward model from the base policy's network; returns the last metrics."""
  source = dataset.source_of(parts, base, root, report)
  if parts.config.task.name == "groups":
    judge = RewardModelJudge(parts, text_tasks.data_of_task(parts.config).held_out)
  else:
    judge = PairJudge(parts, base)
  return loop.train(
    parts,
    folder,
    new_state(scalar_head.with_scalar_head(base), parts.mesh),
    source,
    reference=None,
    report=report,
    judge=judge,
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
  start = scalar_head.with_scalar_head(base)
  return loaded(folder, lambda params: new_state(params, parts.mesh), start, parts.mesh).params


class PairJudge:
  """How well a reward model tells good from bad among the base policy's held-out responses.

  eval/accuracy  share of pairs of responses to one prompt, of unequal reward, that it ranks right
  eval/gap       mean score of the better responses of those pairs, less that of the worse
  """

  def __init__(self, parts: Parts, base: Params):
    key = key_for("evaluation", parts.config.seed, 0)
    groups, _ = draw_held_out(parts, base, key, parts.config.eval.samples)
    self._groups = hosts.to_global(parts.mesh, groups)
    self._rewards = hosts.gather(parts.mesh, groups.rewards)
    self._scores, self._mesh = compiled_scores(parts.model, parts.mesh), parts.mesh

  def __call__(self, params: Params, step: int) -> tuple[dict[str, float], list[dict]]:
    del step
    scores = hosts.gather(self._mesh, hosts.to_local(self._scores(params, self._groups)))
    rewards = self._rewards
    better = rewards[:, :, None] > rewards[:, None, :]
    gaps = (scores[:, :, None] - scores[:, None, :])[better]
    if not len(gaps):
      return {}, []  # nothing to tell apart
    right = np.where(gaps == 0, 0.5, gaps > 0)  # a score for all alike is a guess
    return {"eval/accuracy": float(right.mean()), "eval/gap": float(gaps.mean())}, []
