"""A summary of the texts that a run trains on, for a person to read before it does."""

from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from training.checking import task_signatures, text_tasks

if TYPE_CHECKING:
  from tasks.datasets.text_data import TextData
  from tasks.datasets.text_rows import TextRows


def describe(config: ConfigDict) -> list[str]:
  """A description of the data for a person to read before it is trained on, in lines."""
  found, of_task, lines = text_tasks.groups_of(config), text_tasks.data_of_task(config), []
  if found is not None:
    from tasks.datasets import text_groups
    from training.checking import threshold

    groups = text_tasks.groups_of_run(config, found)
    lines.append(_counts(config, found))
    lines += text_groups.describe(groups, config.sampling.max_tokens)
    if len(found.train) < config.batch_prompts:
      lines.append(
        f"{len(found.train):,} groups for batch_prompts={config.batch_prompts}: each is in a batch "
        "more than once"
      )
    lines.append(_whose_log_probs(found.train))
    if config.scoring.reward == "task":
      lines += threshold.describe(config, groups.rewards)
    lines += text_groups.as_seen(groups, 0, found.train.tokenizer)
  if of_task is not None:
    prompts = len({row.prompt for row in of_task.held_out.rows})
    if not task_signatures.of(config).is_scored:
      lines += _question_as_seen(of_task)
    lines.append(f"held out: {prompts:,} prompts of {of_task.path}, {len(of_task.held_out):,} rows")
  if (data := found or of_task) is not None and data.train.table.unread:
    unread = [f"{key} ({count:,})" for key, count in data.train.table.unread.items()]
    lines.append(f"keys that are not read, and in how many rows: {', '.join(unread)}")
  if problems := text_tasks.bad_rows(config):
    rows = len({problem.where for problem in problems})
    lines.append(f"{rows:,} bad rows left out (bad_rows.jsonl), the first: {problems[0]}")
  return lines


def _counts(config: ConfigDict, data: "TextData") -> str:
  """ "200,000 groups of 16,384 of 180,000 prompts (task.train_prompts); 1,600 of them are used"."""
  groups, prompts = len(data.train), len(set(data.train.keys.tolist()))
  line = f"{groups:,} groups, K={config.group_size}, of {prompts:,} "
  line += (
    "prompts" if prompts == data.prompts else f"of {data.prompts:,} prompts (task.train_prompts)"
  )
  used = min(config.steps * config.batch_prompts, groups)
  return line if used == groups else f"{line}; the run trains on {used:,} of them"


def _question_as_seen(data: "TextData") -> list[str]:
  (row,), tokenizer = data.train.rows([0]), data.train.tokenizer
  prompt = tokenizer.encode_prompt(row.prompt)
  return [
    f"{row.where}, as the model sees it, answer {row.answer!r}:",
    f"  {len(prompt)} tokens: {tokenizer.spelled(prompt)!r}",
  ]


def _whose_log_probs(groups: "TextRows") -> str:
  known = groups.count_known
  if known == len(groups):
    return "old_logps are the rows' own"
  of_rows = f" ({known:,} groups have their own)" if known else ""
  return f"old_logps are the base policy's{of_rows}: the rows do not say who wrote them"
