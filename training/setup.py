"""From a config to the things a run is made of: task, model shape, loss, mesh, traced numbers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from models.partitioning import make_mesh
from models.pretrained import loading
from models.sampling import Sampler
from models.transformer import ModelConfig
from tasks.task import Task
from training.checking import loss_signatures, pretrained_model, validate_mesh
from training.checking.config_task import task_of
from training.checking.config_values import is_number
from training.environment import nvidia_gpus
from training.errors import UserError
from training.population import membership


@dataclasses.dataclass(frozen=True)
class Parts:
  """What a config stands for, built."""

  config: ConfigDict
  task: Task
  model: ModelConfig
  mesh: Mesh

  @classmethod
  def of(cls, config: ConfigDict) -> "Parts":
    """UserError when the config does not fit the task or the machine."""
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
    model = model_of(config, task)
    problems = [*validate_mesh.problems(mesh.shape["fsdp"], mesh.shape["tensor"], model)]
    if problems:  # of a network whose numbers are not in the config
      raise UserError("\n".join(problems))
    try:
      task.reward.open()  # can its functions be imported? Before training is the time to say so
    except ValueError as error:
      raise UserError(f"task: {error}") from None
    return cls(config, task, model, mesh)

  def sampler(self, group_size: int, **options: Any) -> Sampler:
    """How to decode this task's responses; `options` are the Sampler's other fields."""
    return Sampler(
      max_tokens=self.config.sampling.max_tokens,
      eos_ids=self.task.tokenizer.eos_ids,
      pad_id=self.task.tokenizer.pad_id,
      group_size=group_size,
      prompts_at_once=self.config.sampling.prompts_at_once,
      **options,
    )


def _too_long(config: ConfigDict, task: Task) -> str:
  """What is wrong when prompt and response may not fit what a pretrained model can read; or ""."""
  name, limit = config.model.pretrained, config.sampling.max_tokens
  context = pretrained_model.files(name).context_length if name else None
  if context is None or task.max_prompt_tokens + limit <= context:
    return ""
  return (
    f"sampling.max_tokens={limit}: after the longest prompt of {task.name}, of "
    f"{task.max_prompt_tokens} tokens, {name} reads only {context - task.max_prompt_tokens} more"
  )


def model_of(config: ConfigDict, task: Task) -> ModelConfig:
  """The decoder's shape: of a pretrained model's files, or else the config's."""
  fields = config.model.to_dict()
  if membership.member_here() and fields["attention"] == "auto":
    fields["attention"] = "plain"  # jax cannot vmap cuDNN's with the masks that it is given here
  if name := fields.pop("pretrained"):
    shape = loading.config_of(pretrained_model.files(name))
    return dataclasses.replace(shape, **{key: fields[key] for key in pretrained_model.COMPUTE})
  return ModelConfig(vocab_size=task.tokenizer.vocab_size, **fields)


def mesh_of(config: ConfigDict) -> Mesh:
  """UserError when the machine has too few devices, or no accelerator where one is required."""
  if config.require_accelerator and jax.default_backend() == "cpu":
    raise UserError("require_accelerator is set, and jax finds only the CPU. " + accelerator_hint())
  # Else accelerators multiply float32 in fewer bits; a CPU never does.
  if jax.default_backend() != "cpu":
    jax.config.update("jax_default_matmul_precision", "float32")
  try:
    return make_mesh(**config.mesh.to_dict())
  except ValueError as error:
    raise UserError(str(error)) from None


def loss_of(config: ConfigDict) -> Callable:
  """The loss function: a name of the table, or anyone's "module:function"."""
  return loss_signatures.read(config.algorithm.loss).load()


def hyperparameters(
  config: ConfigDict,
) -> tuple[dict[str, float], tuple[tuple[str, Any], ...]]:
  """The loss's keyword arguments: numbers (traced: no value recompiles) and the rest (static)."""
  options = config.algorithm.to_dict()
  del options["loss"]
  numbers = {k: float(v) for k, v in options.items() if is_number(v)}
  static = tuple((k, v) for k, v in sorted(options.items()) if not is_number(v))
  return numbers, static


def plain(config: ConfigDict) -> ConfigDict:
  """A copy where the task's own rewards are trained on, each batch once, the reference at rest."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.micro_batches = config.minibatches = config.inner_epochs = 1
    config.scoring.update(reward="task", model="", unfinished=0.0, overlong_tokens=0)
    config.scoring.mask_truncated = False
    config.reference.update(every=0, mix=1.0)
    config.sampling.refills = 0
  return config


def updates_a_step(config: ConfigDict) -> int:
  """Inner steps on one collection: mu passes over its minibatches."""
  return config.inner_epochs * config.minibatches


def traced_numbers(config: ConfigDict) -> dict[str, Any]:
  """Every number of the config that a compiled update takes as an argument."""
  optimizer = {k: float(v) for k, v in config.optimizer.to_dict().items() if k != "schedule"}
  updates = updates_a_step(config)  # the schedule counts updates, the config steps
  optimizer["warmup_steps"] *= updates
  return {
    "algorithm": hyperparameters(config)[0],
    "optimizer": optimizer | {"steps": float(config.steps * updates)},
    "temperature": float(config.sampling.temperature),
  }


def device_line() -> str:
  """ "cpu x2": what jax will compute on, in how many processes."""
  devices = f"{jax.default_backend()} x{jax.device_count()}"
  return devices if jax.process_count() == 1 else f"{devices} in {jax.process_count()} processes"


def accelerator_hint() -> str:
  """What to type when a GPU is there and jax does not see it; "" when all is well."""
  if jax.default_backend() != "cpu" or not nvidia_gpus():
    return ""
  return f'An NVIDIA GPU is here: pip install "jax[cuda12]=={jax.__version__}"'
