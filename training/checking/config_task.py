"""The task that a config names, built; nothing of it needs jax."""

from ml_collections import ConfigDict

from configs import config_values
from tasks import task_functions
from tasks.making import generated_task, task_of_rows
from tasks.task import Task
from training.checking import task_signatures, text_tasks
from training.errors import UserError


def task_of(config: ConfigDict) -> Task:
  """The task's prompts and reward, nothing started. UserError when its options do not work out."""
  task = unencoded(config)
  try:
    task.max_prompt_tokens, task.max_answer_tokens  # noqa: B018  (do they encode?)
  except ValueError as error:
    raise UserError(f"task: {error}") from None
  return task


def unencoded(config: ConfigDict) -> Task:
  """The same, but no prompt was put into tokens: whether they can be is not known yet."""
  c = config.task
  about = {"train_prompts": c.train_prompts, "evaluation_prompts": c.eval_prompts}
  about |= {"reward": c.reward, "seconds": config.scoring.seconds}
  about["skips_missing"] = config.scoring.get("missing") == "skip"
  about["tokenizer"] = text_tasks.tokenizer_of(config)
  data = text_tasks.data_of_task(config)
  try:
    function = task_functions.find(c.name, config_values.options(c.options))
    if data is None:
      return generated_task(function, **about)
    rows = text_tasks.rows_of_task(config, data)
    return task_of_rows(function, rows, data.held_out.rows, **about)
  except ValueError as error:
    raise UserError(f"task: {error}") from None


def refused_answers(config: ConfigDict, task: Task, *, quick_only: bool = False) -> list[str]:
  """Problems of the task's answers that its rewards cannot tell; [] where that may be."""
  answers = task_signatures.of(config).traits.answers
  if answers == "none" or config.data.skip_bad_rows:
    return []
  items = [item.answer for item in task.evaluation + task.train]
  wrong = task.reward.refused(items, is_compared=answers == "compared", quick_only=quick_only)
  return [
    f"task.reward={config.task.reward!r}: {one}\n"
    "(--config.data.skip_bad_rows=True leaves responses to these prompts unscored)"
    for one in wrong
  ]
