"""Tasks made of data sets of texts, and groups of texts to train on: what is wrong, and the task.

gsm8k, questions   prompts with answers, judged by task.reward
groups             prompts with responses that were judged already (task.reward = "none"): trained
                   on offline, evaluated by the pairs of held-out prompts
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from training.checking import pretrained_model
from training.errors import UserError

# Imported where it is needed: most configs name no texts, and numpy takes half the time that a
# mistyped command should.
if TYPE_CHECKING:
  from tasks.rows.row import Problem
  from tasks.rows.text_groups import TextGroups
  from tasks.task import Task
  from training.checking.text_data import TextData

NAMES = ("gsm8k", "questions", "groups")


def problems(config: ConfigDict) -> Iterator[str]:
  """What is wrong with the data sets of texts that a config names; reads all of their rows."""
  name, data = config.task.name, config.task.data
  if name in NAMES:
    yield from without_answers(config, "to learn to write", "configs/tasks/")
  if name == "groups" and config.source == "online" and config.scoring.reward == "task":
    if config.task.reward == "none":
      yield "source='online': nothing judges responses to these prompts; train with 'offline'"
  if name in ("questions", "groups") and not data:
    yield f"task.data='': {name} needs a file, or the name of a data set that tasks.build built"
    return
  if name not in NAMES and data:
    yield f"task.data={data!r}: only {', '.join(NAMES)} read it"
  if config.data.max_prompt_tokens < 1:
    yield f"data.max_prompt_tokens={config.data.max_prompt_tokens}: must be at least 1"
    return
  sizes = (config.sampling.max_tokens, config.group_size, config.task.train_prompts)
  if min(*sizes, config.task.eval_prompts) < 1 or any(pretrained_model.problems(config)):
    return  # said already
  try:
    if name in NAMES:
      data_of_task(config)
    groups_of(config)
  except UserError as error:
    yield str(error)


def without_answers(config: ConfigDict, to_learn: str, models_in: str) -> Iterator[str]:
  """What is wrong where a task has no options, and nothing to demonstrate."""
  name = config.task.name
  if config.task.options:
    yield f"task.options={config.task.options!r}: {name} has none"
  if config.base.steps > 0:
    yield (
      f"base.steps={config.base.steps}: {name} has no answers {to_learn}; set it to 0 and "
      f"start from a pretrained model ({models_in})"
    )
  if config.source == "demonstrations":
    yield f"source='demonstrations': {name} has no answers {to_learn}"


def data_of_task(config: ConfigDict) -> "TextData":
  """The data set that the task is made of. UserError when it cannot be used."""
  from training.checking import text_data

  name = config.task.data or config.task.name
  groups = config.task.name == "groups"
  return text_data.load(config, "task.data", name, groups=groups, held_out=config.task.eval_prompts)


def groups_of(config: ConfigDict) -> "TextData | None":
  """The groups of texts that an offline run trains on; None if it trains on sampled ones.

  UserError when they cannot be used, or hold prompts that the run evaluates on.
  """
  if config.source != "offline" or not (config.offline.dataset or config.task.name == "groups"):
    return None
  from training.checking import text_data

  if text_data.is_text(config.offline.dataset):
    found = text_data.load(
      config, "offline.dataset", config.offline.dataset, groups=True, held_out=0
    )
    if config.task.name in NAMES:
      _check_apart(found, data_of_task(config))
    return found
  if config.task.name == "groups" and not config.offline.dataset:
    return data_of_task(config)
  return None


def fingerprints(config: ConfigDict) -> dict[str, str]:
  """Of the data sets that a run reads, "task.data='pairs.jsonl'" -> what changes with the rows."""
  if config.task.name not in NAMES and not config.offline.dataset:
    return {}
  from training.checking import text_data

  names = []
  if config.task.name in NAMES:
    field = "task.data" if config.task.data else "task.name"
    names.append((field, config.task.data or config.task.name))
  if config.source == "offline" and text_data.is_text(config.offline.dataset):
    names.append(("offline.dataset", config.offline.dataset))
  paths = {f"{f}={name!r}": text_data.locate(f, name, config.data.dir) for f, name in names}
  return {where: text_data.fingerprint(path) for where, path in paths.items()}


def task_of(config: ConfigDict) -> "Task":
  """One item a distinct prompt."""
  from tasks.rewards.reward import Reward
  from tasks.task import Item, Task
  from tasks.tokenizers.tokenizer import CharTokenizer

  data, halves = data_of_task(config), []
  for groups in (data.train, data.held_out):
    rows = {row.prompt: row for row in reversed(groups.rows)}  # the first of each
    halves.append(tuple(Item(row.prompt, row.answer) for row in reversed(rows.values())))
  return Task(
    name=config.task.name,
    train=halves[0],
    evaluation=halves[1],
    reward=Reward(config.task.reward, config.scoring.seconds),
    tokenizer=pretrained_model.tokenizer_of(config) or CharTokenizer(),
    scores_unfinished=config.task.name == "groups",
  )


def describe(config: ConfigDict) -> list[str]:
  """What a person should know of the data before it is trained on, a line each."""
  found, lines = groups_of(config), []
  if found is None and config.task.name not in NAMES:
    return []
  from tasks.rows import text_groups

  if found is not None:
    lines += text_groups.describe(found.train, config.sampling.max_tokens)
    lines.append(_whose_log_probs(found.train))
  if config.task.name in NAMES:
    of_task = data_of_task(config)
    prompts = len({row.prompt for row in of_task.held_out.rows})
    lines.append(f"held out: {prompts:,} prompts of {of_task.path}, {len(of_task.held_out):,} rows")
  if problems := bad_rows(config):
    rows = len({problem.where for problem in problems})
    lines.append(f"{rows:,} bad rows left out (bad_rows.jsonl), the first: {problems[0]}")
  return lines


def bad_rows(config: ConfigDict) -> "tuple[Problem, ...]":
  """What is wrong with the rows that the run leaves out, of both data sets if it has two."""
  found = [data_of_task(config)] if config.task.name in NAMES else []
  found += [data for data in [groups_of(config)] if data is not None]
  return tuple(dict.fromkeys(problem for data in found for problem in data.problems))


def _whose_log_probs(groups: "TextGroups") -> str:
  known = int(groups.known.sum())
  if known == len(groups):
    return "old_logps are the rows' own"
  of_rows = f" ({known:,} groups have their own)" if known else ""
  return f"old_logps are the base policy's{of_rows}: the rows do not say who wrote them"


def _check_apart(found: "TextData", of_task: "TextData") -> None:
  from tasks.rows.row import text_of

  held_out = {row.prompt for row in of_task.held_out.rows}
  shared = [row for row in found.train.rows if row.prompt in held_out]
  if shared:
    first = shared[0]
    raise UserError(
      f"offline.dataset: {len(shared):,} rows of {found.path} have prompts that are held out for "
      f"evaluation, the first: {first.where}, {text_of(first.prompt)[:60]!r}"
    )
