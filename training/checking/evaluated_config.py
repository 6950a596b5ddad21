"""The config by which a policy is evaluated: its run's, on another task or with other settings."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import common, config_values
from tasks.slips import did_you_mean
from training.checking import config_files, field_names, pretrained_model, validate
from training.errors import UserError

# Fields that an evaluation depends on; the others are of training, or of what was trained.
FIELDS = (
  *("task.", "data.", "mesh.", "seed"),
  *("sampling.max_tokens", "sampling.prompts_at_once", "scoring.seconds"),
)


def of_run(config: ConfigDict, task: str, overrides: Mapping[str, Any]) -> ConfigDict:
  """A run's config, changed and checked.

  Args:
    task: a name, as in config.task.name, with that task's own reward and options; "": the run's.
    overrides: dotted field -> its value, or that value as text.
  Raises:
    UserError: with all problems, one a line.
  """
  config = config.copy_and_resolve_references()
  with config.unlocked():
    if task:
      config.task.update(options="", data="")
      common.use_task(config, task)
    _override(config, overrides)
  validate.check(config)
  return config


def of_files(
  path: str, like: ConfigDict | None, task: str, overrides: Mapping[str, Any]
) -> ConfigDict:
  """The config by which a pretrained model is evaluated as it is: on the task of `like`, or `task`.

  Args:
    path: its folder, as config.model.pretrained.
  """
  if like is None and not task:
    raise UserError(
      f"{path} is a model without a task of its own: give --task=NAME, or a run first"
    )
  config = (like or common.defaults("grpo")).copy_and_resolve_references()
  with config.unlocked():
    config.model = common.defaults("grpo").model
    config.model.pretrained = path
    config.base.update(steps=0, run="")
    config.source, config.offline.dataset = "online", ""
    config.algorithm = common.defaults("grpo").algorithm
  config = of_run(config_files.complete(config), task, overrides)
  pretrained_model.fill(config)
  return config


def _override(config: ConfigDict, overrides: Mapping[str, Any]) -> None:
  fields, problems = config_values.fields(config), []
  usable = [field for field in fields if field.startswith(FIELDS)]
  for key, value in overrides.items():
    if key == "eval.samples":
      problems.append(f"--config.{key}: say --samples={value}")
    elif key in usable:
      try:
        config_values.assign(config, key, value)
      except ValueError as error:
        problems.append(f"--config.{key} {error}")
    elif key in fields:
      changes = ", ".join(f"{field}*" if field[-1] == "." else field for field in FIELDS)
      problems.append(f"--config.{key} does not change an evaluation; these do: {changes}")
    else:
      near = [f"--config.{field}" for field in field_names.nearest_to(key, usable)]
      problems.append(f"--config.{key}: there is no such field.{did_you_mean(near)}")
  if problems:
    raise UserError("\n".join(problems))
