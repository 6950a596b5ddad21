"""From a config to its `Parts`: the task, the loss, the model's shape and the mesh.

Only entrances import this: whatever puts a run together, and the commands.
"""

import dataclasses

import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from algorithms import mismatch
from configs.config_values import is_number
from models.partitioning import make_mesh
from models.pretrained import loading
from models.transformer import ModelConfig
from tasks.task import Task
from training.checking import (
  loss_signatures,
  optimizer_section,
  pretrained_model,
  validate_correction,
  validate_mesh,
)
from training.checking.config_task import refused_answers, task_of
from training.devices import mesh_of
from training.errors import UserError
from training.optimizer import Optimizer, Schedule
from training.parts import Correction, Loss, Parts
from training.population import membership
from training.trial import check_loss


def parts_of(config: ConfigDict) -> Parts:
  """All that the config stands for, built. UserError when it does not fit the task or machine."""
  mesh = mesh_of(config)  # first: it is quick
  task = task_of(config)
  needed = task.max_answer_tokens
  if needed > config.sampling.max_tokens:
    raise UserError(
      f"sampling.max_tokens={config.sampling.max_tokens}: the longest answer of {task.name} has "
      f"{needed} tokens, the end of sequence included"
    )
  if problem := _too_long(config, task):
    raise UserError(problem)
  parts = put_together(config, task, mesh)
  check_loss(parts)
  problems = [*validate_mesh.problems(mesh.shape["fsdp"], mesh.shape["tensor"], parts.model)]
  if problems:  # of a network whose numbers are not in the config
    raise UserError("\n".join(problems))
  try:
    task.reward.open()  # can its functions be imported? Before training is the time to say so
  except ValueError as error:
    raise UserError(f"task: {error}") from None
  if refused := refused_answers(config, task):
    raise UserError("\n".join(refused))
  return parts


def put_together(config: ConfigDict, task: Task, mesh: Mesh | None = None) -> Parts:
  """Parts with this task, nothing checked; on one device if no mesh is given."""
  mesh = mesh or make_mesh()
  return Parts(
    config=config,
    task=task,
    model=model_of(config, task, mesh),
    mesh=mesh,
    loss=loss_of(config),
    optimizer=optimizer_of(config),
    schedule=schedule_of(config),
    correction=correction_of(config),
  )


def _too_long(config: ConfigDict, task: Task) -> str:
  """The problem when prompt and response may not fit a pretrained model's context; or ""."""
  name, limit = config.model.pretrained, config.sampling.max_tokens
  context = pretrained_model.files(name).context_length if name else None
  if context is None or task.max_prompt_tokens + limit <= context:
    return ""
  return (
    f"sampling.max_tokens={limit}: after the longest prompt of {task.name}, of "
    f"{task.max_prompt_tokens} tokens, {name} reads only {context - task.max_prompt_tokens} more"
  )


def model_of(config: ConfigDict, task: Task, mesh: Mesh) -> ModelConfig:
  """The decoder's shape: of a pretrained model's files, or else the config's."""
  fields = config.model.to_dict()
  if fields["dtype"] == "auto":
    fields["dtype"] = "float32" if mesh.devices.flat[0].platform == "cpu" else "bfloat16"
  if membership.member_here() and fields["attention"] == "auto":
    fields["attention"] = "plain"  # jax cannot vmap cuDNN's with the masks that it is given here
  if name := fields.pop("pretrained"):
    shape = loading.config_of(pretrained_model.files(name))
    return dataclasses.replace(shape, **{key: fields[key] for key in pretrained_model.COMPUTE})
  return ModelConfig(vocab_size=task.tokenizer.vocab_size, **fields)


def loss_of(config: ConfigDict) -> Loss:
  """The loss of the table, or anyone's "module:function", with the config's hyperparameters."""
  signature = loss_signatures.read(config.algorithm.loss)
  options = config.algorithm.to_dict()
  del options["loss"]
  return Loss(
    function=signature.load(),
    words=loss_signatures.words_of(config),
    numbers={k: float(v) for k, v in options.items() if is_number(v)},
    options=tuple((k, v) for k, v in sorted(options.items()) if not is_number(v)),
  )


def correction_of(config: ConfigDict) -> Correction | None:
  """The product of parts that correction.weight spells; None if it is empty."""
  parts, anchor = validate_correction.parse(config.correction.weight), config.correction.anchor
  if not parts:
    return None
  static = tuple((part.name, tuple(sorted(part.options.items()))) for part in parts)
  return Correction(
    function=mismatch.Correction(anchor, static),
    anchor=anchor,
    numbers=tuple(part.numbers for part in parts),
  )


def optimizer_of(config: ConfigDict) -> Optimizer:
  """The optimizer of the table, or anyone's "module:function"."""
  name = optimizer_section.chosen(config)["name"]
  optimizer = optimizer_section.read("name", name).load()
  if not isinstance(optimizer(), optax.GradientTransformation):
    raise UserError(f"optimizer.name={name!r} returns no optax.GradientTransformation")
  return optimizer


def schedule_of(config: ConfigDict) -> Schedule:
  """The schedule of the table, or anyone's "module:function"."""
  return optimizer_section.read("schedule", config.optimizer.schedule).load()
