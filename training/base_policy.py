"""The base policy that every run of a comparison starts from, and its reference.

A pretrained model as it is (base.steps = 0), the policy that another run ended with (base.run), or
a short SFT from a pretrained model or random weights. The SFT is trained by the loop that trains
everything else, once, into runs/base/<task>-<digest>; the digest covers all that determines the
weights, so runs share it exactly when they should.
"""

import dataclasses
import os
from functools import partial
from typing import Any

import jax
from ml_collections import ConfigDict

from models import adapters
from models.partitioning import build_sharded
from models.pretrained import loading
from models.transformer import Params
from training import loop
from training.build import loss_of, optimizer_of, parts_of
from training.checking import (
  config_files,
  digests,
  optimizer_section,
  pretrained_model,
  task_signatures,
)
from training.checking.digests import of_recipe
from training.errors import UserError
from training.evaluation import PolicyEvaluation
from training.parts import Parts
from training.population import membership
from training.records.checkpoints import loaded
from training.records.run_folder import Report, RunFolder
from training.shared_runs import folder_at, trained_once
from training.sources.demonstrations import Demonstrations
from training.start import starting_state
from training.state import new_state, random_params


def plain_training(config: ConfigDict) -> ConfigDict:
  """A copy that trains on the task's own rewards, each batch once, with a reference at rest."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.micro_batches = config.minibatches = config.inner_epochs = 1
    config.scoring.update(reward="task", model="", unfinished=0.0, overlong_tokens=0)
    config.scoring.mask_truncated = False
    config.reference.update(every=0, mix=1.0, run="", target_kl=0.0, samples=0)
    config.sampling.update(refills=0, lag=0, sync_every=1)
    config.replay.share = 0.0
    config.correction.update(weight="", anchor="recomputed")
  return config


def base_config(config: ConfigDict) -> ConfigDict:
  """The config of the SFT run that makes the base policy of `config`."""
  base = plain_training(config)
  with base.unlocked():
    base.source = "demonstrations"
    base.seed = config.base.seed
    base.steps = config.base.steps
    base.batch_prompts = config.base.batch_prompts
    base.group_size = 1
    base.algorithm = ConfigDict({"loss": "sft"})
    base.optimizer = optimizer_section.adamw(
      learning_rate=config.base.learning_rate,
      warmup_steps=min(20, config.base.steps // 10),
      schedule="cosine",
    )
    base.eval.every = base.checkpoint.every = config.base.steps
    base.wandb.mode = "disabled"
    base.sampling.temperature = 1.0
    base.model.lora_rank = 0  # all of it learns the task; adapters come on top
  return base


def digest_of_base(config: ConfigDict) -> str:
  """8 hex digits of all that determines the base policy's weights."""
  determines = {name: config[name].to_dict() for name in ("task", "model", "base")}
  del determines["task"]["reward"]  # demonstrations have none
  run = determines["base"].pop("run")
  if run:  # wherever it lies
    about = RunFolder(run).read_config()
    determines["base"] = {"run": [about["digest"], about["created"]]}
  determines["model"] = model_fields(config)
  return of_recipe(determines)


def model_fields(config: ConfigDict) -> dict[str, Any]:
  """The fields of config.model that determine a base policy's weights.

  The others change what is trained from it, or how, but not the SFT.
  """
  left_out = {*pretrained_model.COMPUTE} - {"dtype"}
  return {field: value for field, value in config.model.items() if field not in left_out}


def folder_of(config: ConfigDict, root: str) -> RunFolder:
  """Where the base policy is, or will be."""
  name = f"{task_signatures.label(config.task.name)}-{digest_of_base(config)}"
  return folder_at(os.path.join(root, "base", name))


def ensure(config: ConfigDict, root: str, report: Report) -> RunFolder:
  """The run folder of the base policy, trained first if it is not there (other processes wait)."""
  folder, sft = folder_of(config, root), base_config(config)

  def train() -> None:
    parts = parts_of(sft)
    loop.train(
      parts,
      folder,
      new_state(untrained(parts), parts.mesh),
      Demonstrations(parts, config.base.demonstrations),
      reference=None,
      report=report,
      evaluation=PolicyEvaluation(parts, reference=None),
    )

  return trained_once(folder, sft, "configs/sft.py", train)


def starting_params(config: ConfigDict, parts: Parts, root: str, report: Report) -> Params:
  """The parameters that this config's runs start from: the base policy, with adapters if any."""
  plain = dataclasses.replace(parts, model=dataclasses.replace(parts.model, lora_rank=0))

  def params() -> Params:
    if config.base.run:
      return policy_of_run(config.base.run, plain, root, report)
    if config.base.steps:
      return params_of(ensure(config, root, report), plain)
    return untrained(plain)

  if not parts.model.lora_rank:
    return membership.once(("base policy", digest_of_base(config)), params)
  key = jax.random.key(config.base.seed)
  return build_sharded(parts.mesh, partial(adapters.add, parts.model), params(), key)


def reference_params(
  config: ConfigDict, parts: Parts, base: Params, root: str, report: Report
) -> Params:
  """The policy that the loss looks back at: the base policy, or the one of config.reference.run."""
  if not config.reference.run:
    return base
  return membership.once(
    ("reference", config.reference.run),
    lambda: policy_of_run(config.reference.run, parts, root, report),
  )


def untrained(parts: Parts) -> Params:
  """The parameters that the SFT starts from: the pretrained model's, or else random ones."""
  name = parts.config.model.pretrained
  if name:
    return loading.load(pretrained_model.files(name), parts.mesh)
  return random_params(parts.model, parts.mesh, parts.config.base.seed)


def params_of(folder: RunFolder, parts: Parts) -> Params:
  """The parameters of a base policy, sharded over the run's mesh."""
  shapes = shapes_of(parts)
  return loaded(folder, lambda params: new_state(params, parts.mesh), shapes, parts.mesh).params


def shapes_of(parts: Parts) -> Params:
  """The shapes of this model's parameters."""
  return jax.eval_shape(partial(random_params, parts.model, parts.mesh, 0))


def policy_of_run(
  path: str, parts: Parts, root: str, report: Report, step: int | None = None
) -> Params:
  """The policy at a checkpoint of the run in `path`, its adapters merged into its weights.

  Args:
    parts: whose mesh it is put on; the model's shape must be the run's.
    root: where the weights under adapters are; checkpoints hold the adapters alone.
    step: of the checkpoint; None: the latest.
  Raises:
    UserError: there is no checkpoint, or of another shape.
  """
  folder = RunFolder(path)
  digests.check_pretrained(folder)
  saved = config_files.of_record(folder.read_config()["config"])
  trained = {name: saved.model[name] for name in ("lora_rank", "lora_alpha")}
  model = dataclasses.replace(parts.model, **trained)
  loss = loss_of(saved)
  if "scores" in loss.words:
    raise UserError(f"{path!r} trained a reward model ({saved.algorithm.loss}), not a policy")
  its_parts = dataclasses.replace(
    parts, config=saved, model=model, loss=loss, optimizer=optimizer_of(saved)
  )
  build, has_adapters = partial(starting_state, its_parts), model.lora_rank > 0
  start = starting_params(saved, its_parts, root, report) if has_adapters else shapes_of(its_parts)
  params = loaded(folder, build, start, parts.mesh, step).params
  merge = partial(adapters.merged, model)
  return build_sharded(parts.mesh, merge, params) if has_adapters else params
