"""Tasks made of a task function: of the prompts that it makes, or of the rows that it is given."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from tasks.items import Item, first_distinct
from tasks.rewards.reward import SECONDS, Reward
from tasks.rows import prompt_keys
from tasks.rows.row import Row
from tasks.task import Task
from tasks.task_functions import ROWS, TaskFunction
from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER, Tokenizer


@cache
def generated_task(
  function: TaskFunction,
  *,
  train_prompts: int,
  evaluation_prompts: int,
  reward: str = "",
  seconds: float = SECONDS,
  skips_missing: bool = False,
  tokenizer: Tokenizer = CHARACTER_TOKENIZER,
) -> Task:
  """The task whose prompts this function makes: the first to evaluate on, the next to train on.

  Args:
    reward: as tasks/spelling.py has it; "": the task's own.
    seconds: the time limit for scoring a response.
    skips_missing: a reward that says None is left out of the sum.

  Raises:
    ValueError: the function raises, gives what is no item, or too few distinct prompts; or there is
      no such reward.
  """
  wanted = train_prompts + evaluation_prompts
  items = first_distinct(function.name, function(_known(function, wanted, tokenizer)), wanted)
  if len(items) < wanted:
    options = f" with {dict(function.options)}" if function.options else ""
    left = len(items) - evaluation_prompts
    raise ValueError(
      f"{function.name} has only {len(items):,} distinct prompts{options}; "
      f"train_prompts + eval_prompts = {wanted:,}"
      + (f" (train_prompts={left} is left)" if left > 0 else "")
    )
  halves = items[evaluation_prompts:], items[:evaluation_prompts]
  summed = _reward(function, reward, seconds, skips_missing)
  return _task(function, *halves, summed, tokenizer)


def task_of_rows(
  function: TaskFunction,
  train: Sequence[Row],
  held_out: Sequence[Row],
  *,
  train_prompts: int,
  evaluation_prompts: int,
  reward: str = "",
  seconds: float = SECONDS,
  skips_missing: bool = False,
  tokenizer: Tokenizer = CHARACTER_TOKENIZER,
) -> Task:
  """The task that this function makes of rows, called once with those of either half.

  Each prompt held out makes one to evaluate on. There may be fewer than `train_prompts`; 0: all.
  Raises what `generated_task` does.
  """

  def items(rows: Sequence[Row], wanted: int) -> tuple[Item, ...]:
    known = _known(function, wanted, tokenizer) | dict.fromkeys(ROWS, one_a_prompt(rows))
    return first_distinct(function.name, function(known), wanted)

  evaluation = items(held_out, evaluation_prompts)
  if len(evaluation) < evaluation_prompts:
    raise ValueError(
      f"{function.name} gives only {len(evaluation):,} distinct prompts for the "
      f"{evaluation_prompts:,} that are held out: leave rows out of the file, not in the task"
    )
  kept_back = {item.prompt for item in evaluation}
  wanted = train_prompts or len(train)
  left = tuple(item for item in items(train, wanted) if item.prompt not in kept_back)
  if not left:
    raise ValueError(f"{function.name} has no prompt to train on")
  summed = _reward(function, reward, seconds, skips_missing)
  return _task(function, left, evaluation, summed, tokenizer)


def one_a_prompt(rows: Sequence[Row]) -> list[Row]:
  """The first row of each prompt, in the order of the last ones."""
  keys = prompt_keys.keys_of(rows).tolist()
  firsts = dict(zip(reversed(keys), reversed(rows), strict=True))
  return list(reversed(firsts.values()))


def _known(function: TaskFunction, prompts: int, tokenizer: Tokenizer) -> dict[str, Any]:
  return {"name": function.name, "prompts": prompts, "tokenizer": tokenizer}


def _reward(function: TaskFunction, reward: str, seconds: float, skips_missing: bool) -> Reward:
  text = reward or function.traits.reward
  return Reward(text, seconds, function.quick, skips_missing=skips_missing)


def _task(
  function: TaskFunction,
  train: tuple[Item, ...],
  evaluation: tuple[Item, ...],
  reward: Reward,
  tokenizer: Tokenizer,
) -> Task:
  if function.traits.answers != "none" and not any(item.answer for item in train + evaluation):
    raise ValueError(
      f'{function.name} gives no answers: write @traits(answers="none", reward=...) beside it'
    )
  return Task(
    name=function.name,
    train=train,
    evaluation=evaluation,
    reward=reward,
    tokenizer=tokenizer,
    scores_unfinished=function.traits.scores_unfinished,
  )
