"""The data sets of texts that a config names: found, read, and refused where they do not fit it.

A task is made of one if it takes `rows` or `scored_rows` (config.task.data); an offline run trains
on one if it names one (config.offline.dataset), or on the task's own if its rows are scored.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from training.checking import pretrained_model, task_signatures, validate_loss
from training.errors import UserError

# Imported where it is needed: most configs name no texts, and numpy takes half the time that a
# mistyped command should.
if TYPE_CHECKING:
  from tasks.datasets.text_data import TextData
  from tasks.datasets.text_groups import TextGroups
  from tasks.rows.row import Problem, Row
  from tasks.tokenizers.tokenizer import Tokenizer


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems of the data sets of texts that a config names; reads all of their rows."""
  try:
    task = task_signatures.of(config)
  except UserError:
    return  # said already
  if task.reads_rows and not _name_of_data(config):
    return  # said already
  if config.data.max_prompt_tokens < 1:
    yield f"data.max_prompt_tokens={config.data.max_prompt_tokens}: must be at least 1"
    return
  sizes = (config.sampling.max_tokens, config.group_size, config.task.eval_prompts)
  if (
    min(sizes) < 1
    or config.task.train_prompts < 0
    or any(pretrained_model.problems(config, weights=False))
  ):
    return  # said already
  try:
    data_of_task(config)
    found = groups_of(config)
    groups = None if found is None else groups_of_run(config, found)
  except UserError as error:
    yield str(error)
    return
  if found is not None and groups is not None:
    yield from _of_single_responses(config.algorithm.loss, found.path, groups)
    if config.correction.weight and not groups.known.all():
      unknown, n = (~groups.known).sum(), len(groups.known)
      yield (
        f"correction.weight: {unknown:,} of {n:,} groups of {found.path} have no 'logps', so it is "
        "not known what they were drawn from"
      )
    if config.scoring.reward == "task":
      from training.checking import threshold

      yield from threshold.problems(config, groups.rewards)


def _of_single_responses(loss: str, path: str, groups: "TextGroups") -> Iterator[str]:
  """Problems of a loss with rows of one response each."""
  if any(len(row.responses) != 1 for row in groups.rows):
    return
  if not validate_loss.takes_one_response(loss):
    yield (
      f"algorithm.loss={loss!r} compares the responses to a prompt, and the rows of {path} have "
      "one each: --config=configs/tasks/groups.py:algorithm=kto,k=1 (or algorithm=sft)"
    )
  elif loss == "sft" and len({row.scores for row in groups.rows}) > 1:
    yield (
      f"algorithm.loss='sft' imitates every response of {path}, the bad ones as well: "
      "algorithm=kto,k=1 learns from both, or leave the bad ones out of the file"
    )


def data_of_task(config: ConfigDict) -> "TextData | None":
  """The data set that the task is made of, if it is. UserError when it cannot be used."""
  task = task_signatures.of(config)
  if not task.reads_rows:
    return None
  held_out = config.task.eval_prompts
  return _load(config, "task.data", _name_of_data(config), scored=task.is_scored, held_out=held_out)


def held_out_groups(config: ConfigDict) -> "TextGroups | None":
  """The scored groups that a policy is evaluated by; None for a task that has none."""
  data = data_of_task(config)
  return data.held_out if data is not None and task_signatures.of(config).is_scored else None


def groups_of(config: ConfigDict) -> "TextData | None":
  """The groups of texts that an offline run trains on; None if it trains on sampled ones.

  UserError when they cannot be used, or hold prompts that the run evaluates on.
  """
  if config.source != "offline":
    return None
  if not config.offline.dataset:
    return data_of_task(config) if task_signatures.of(config).is_scored else None
  from tasks.datasets import text_data

  if not text_data.is_text(config.offline.dataset):
    return None
  found = _load(config, "offline.dataset", config.offline.dataset, scored=True, held_out=0)
  of_task = data_of_task(config)
  if of_task is not None:
    _check_apart(found, of_task)
  return found


def groups_of_run(config: ConfigDict, data: "TextData") -> "TextGroups":
  """Those that the run trains on, in tokens."""
  from training.epochs import rows_of_steps

  n = len(data.train)
  return data.train.tokens(rows_of_steps(config.seed, config.steps, config.batch_prompts, n))


def rows_of_task(config: ConfigDict, data: "TextData") -> "list[Row]":
  """The rows whose prompts a task is made of: for an offline run those that it trains on."""
  n = len(data.train)
  of_run = config.source == "offline" and task_signatures.of(config).is_scored
  if not of_run:
    return data.train.rows(range(n))
  return list(groups_of_run(config, data).rows)


def fingerprints(config: ConfigDict) -> dict[str, str]:
  """Of the data sets that a run reads, "task.data='pairs.jsonl'" -> what changes with the rows."""
  reads_rows, dataset = task_signatures.of(config).reads_rows, config.offline.dataset
  if not reads_rows and not dataset:
    return {}
  from tasks.datasets import text_data

  field = "task.data" if config.task.data else "task.name"  # whose own it is
  names = [(field, _name_of_data(config))] if reads_rows else []
  if config.source == "offline" and text_data.is_text(dataset):
    names.append(("offline.dataset", dataset))
  paths = {f"{field}={name!r}": _locate(config, field, name) for field, name in names}
  return {where: text_data.fingerprint(path) for where, path in paths.items()}


def bad_rows(config: ConfigDict) -> "tuple[Problem, ...]":
  """Problems of the rows that the run leaves out, of both data sets if it has two."""
  found = [data for data in (data_of_task(config), groups_of(config)) if data is not None]
  return tuple(dict.fromkeys(problem for data in found for problem in data.problems))


def tokenizer_of(config: ConfigDict) -> "Tokenizer":
  """The tokenizer of the config's model, characters if it is not a pretrained one."""
  from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER

  try:
    return pretrained_model.tokenizer_of(config) or CHARACTER_TOKENIZER
  except ValueError as error:
    raise UserError(str(error)) from None


def _name_of_data(config: ConfigDict) -> str:
  return config.task.data or task_signatures.of(config).traits.data


def _locate(config: ConfigDict, field: str, name: str) -> str:
  """The path of the data set `name`, which `field` of the config gives."""
  from tasks.datasets import text_data

  try:
    return text_data.locate(name, config.data.dir)
  except ValueError as error:
    raise UserError(f"{field}={name!r}: {error}") from None


def _load(config: ConfigDict, field: str, name: str, *, scored: bool, held_out: int) -> "TextData":
  """The data set `name`, which `field` of the config gives, in the tokens of the config's model.

  UserError: with all bad rows, if they may not be skipped.
  """
  from tasks.datasets import text_data
  from tasks.datasets.text_rows import Limits
  from tasks.rows.row import BadRows
  from tasks.rows.row_names import PARTS, RowNames

  path, tokenizer = _locate(config, field, name), tokenizer_of(config)
  try:
    return text_data.load(
      path,
      text_data.fingerprint(path),
      tokenizer,
      Limits(
        group_size=config.group_size if scored else 1,
        max_tokens=config.sampling.max_tokens,
        max_prompt_tokens=config.data.max_prompt_tokens,
      ),
      scored=scored,
      held_out=held_out,
      most_prompts=config.task.train_prompts,
      skip_bad_rows=config.data.skip_bad_rows,
      data_dir=config.data.dir,
      names=RowNames.of(**{name: config.data[name] for name in (*PARTS, "ignore")}),
    )
  except BadRows as bad:
    rows = len({problem.where for problem in bad.problems})
    raise UserError(
      f"{field}: {rows:,} bad rows in {path}; --config.data.skip_bad_rows=True leaves them out:\n"
      f"{bad}"
    ) from None
  except text_data.TooFewPrompts as error:
    there = f"; set --config.task.eval_prompts={error.found}" if error.found else ""
    raise UserError(f"{field}: {error}{there or ' (task.eval_prompts)'}") from None
  except ValueError as error:
    raise UserError(f"{field}: {error}") from None


def _check_apart(found: "TextData", of_task: "TextData") -> None:
  import numpy as np

  from tasks.rows import prompt_keys
  from tasks.rows.row import text_of

  held_out = prompt_keys.keys_of(of_task.held_out.rows)
  shared = np.flatnonzero(np.isin(found.train.keys, held_out))
  if len(shared):
    (first,) = found.train.rows(shared[:1])
    raise UserError(
      f"offline.dataset: {len(shared):,} rows of {found.path} have prompts that are held out for "
      f"evaluation, the first: {first.where}, {text_of(first.prompt)[:60]!r}"
    )
