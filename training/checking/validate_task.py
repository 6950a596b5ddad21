"""Whether config.task names a task, with options that it has, in a regime that suits it."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from configs import config_values
from tasks import demonstrations
from training.checking import own_functions, task_signatures
from training.checking.task_signatures import TaskSignature
from training.errors import UserError


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems of config.task, its reward and its rows aside, a line each."""
  try:
    task = task_signatures.of(config)
  except UserError as error:
    yield str(error)
    return
  yield from _options(config, task)
  yield from _demonstrations(config, task)
  if task.reads_rows and not (config.task.data or task.traits.data):
    built = "the name of a data set that tasks.build built"
    yield f"task.data='': {task.name} needs a file, or {built}"
  if config.task.data and not task.reads_rows:
    readers = ", ".join(task_signatures.reading_rows())
    yield f"task.data={config.task.data!r}: only {readers}, and your own of rows, read it"
  if config.task.train_prompts == 0 and not task.reads_rows:
    yield f"task.train_prompts=0: {task.name} makes its prompts, so say how many"
  if task.is_scored and config.source == "online" and config.scoring.reward == "task":
    if (config.task.reward or task.traits.reward) == "none":
      yield "source='online': nothing scores responses to these prompts; train with 'offline'"


def problems_of_prompts(config: ConfigDict) -> Iterator[str]:
  """Problems of the prompts themselves, made here; the config is right but for them.

  reasoning-gym takes seconds to import: its own are made when training starts.
  """
  if task_signatures.of(config).is_of_reasoning_gym:
    return
  from training.checking import config_task  # numpy

  try:
    yield from config_task.refused_answers(config, config_task.unencoded(config), quick_only=True)
  except UserError as error:
    yield str(error)


def _options(config: ConfigDict, task: TaskSignature) -> Iterator[str]:
  text = config.task.options
  try:
    given = config_values.options(text)
  except ValueError as error:
    yield f"task.options={text!r}: {error}"
    return
  if given and not task.has_options:
    yield f"task.options={text!r}: {task.name} has none"
    return
  try:
    task.check_options(given)
  except ValueError as error:
    yield f"task.options: {error}"


def behaviour_places(text: str) -> dict[str, str]:
  """Name -> "module:function" of the behaviours that base.demonstrations spells."""
  names = [term.name for term in demonstrations.shares(text)]
  return {name: ":".join(_behaviour(name)) for name in names}


def _behaviour(name: str) -> tuple[str, str]:
  return own_functions.split(demonstrations.place_of(name), "mylab.behaviours:copied")


def _demonstrations(config: ConfigDict, task: TaskSignature) -> Iterator[str]:
  if task.traits.answers == "demonstrated":
    yield from _behaviours(config.base.demonstrations)
    return
  if config.base.steps > 0:
    yield (
      f"base.steps={config.base.steps}: {task.name} has no answers to learn to write; set it to 0 "
      "and start from a pretrained model (configs/models/, configs/tasks/)"
    )
  if config.source == "demonstrations":
    yield f"source='demonstrations': {task.name} has no answers to learn to write"


def _behaviours(text: str) -> Iterator[str]:
  try:
    for term in demonstrations.shares(text):
      signature, _ = own_functions.signature(*_behaviour(term.name))
      demonstrations.bound_options(term, signature)
  except (UserError, ValueError) as error:
    yield f"base.demonstrations={text!r}: {error}"
