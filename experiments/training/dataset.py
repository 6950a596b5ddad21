"""The offline data set: as many groups as a run uses, written once by the base policy."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from experiments.command_line.config_files import digest
from experiments.training import base_policy
from experiments.training.collect import Online, prompt_order
from experiments.training.locks import locked
from experiments.training.setup import Parts
from models.transformer import Params
from tasks import group_dataset

Report = Callable[[dict[str, Any]], None]


def ensure(
  parts: Parts,
  base: Params,
  root: str,
  report: Report,
) -> str:
  """The path of the data set for this config: found, or collected by the base policy now.

  One group for each prompt that the run trains on, K responses each. The folder's name holds a
  digest of all that determines the groups, so runs that would collect the same share it.
  """
  config = parts.config
  recipe = {"base": base_policy.digest_of_base(config)}
  recipe |= {name: config[name].to_dict() for name in ("task", "sampling")}
  recipe |= {name: config[name] for name in ("seed", "steps", "batch_prompts", "group_size")}
  name = f"{config.task.name}-k{config.group_size}-s{config.seed}-{digest(ConfigDict(recipe))}"
  directory = os.path.join(root, "datasets", name)
  with locked(directory):
    written = group_dataset.path_in(directory)
    if written:
      return written
    rows = _rows(parts, base, report)
    return group_dataset.write(directory, rows, config.group_size, config.sampling.max_tokens)


def _rows(parts: Parts, policy: Params, report: Report) -> Iterator[dict[str, Any]]:
  """The groups that this policy writes for the run's prompts, as rows of a data set."""
  config, task, online = parts.config, parts.task, Online(parts)
  for step in range(config.steps):
    report({"doing": "collecting", "step": step, "steps": config.steps})
    batch = online.collect(step, policy)
    chosen = prompt_order(config.seed, step, config.batch_prompts, len(task.train))
    for i, row in enumerate(chosen):
      yield {
        "prompt": task.train[row].prompt,
        "answer": task.train[row].answer,
        "responses": batch.groups.responses[i],
        "mask": batch.groups.mask[i],
        "finished": batch.finished[i],
        "rewards": batch.groups.rewards[i],
        "logps": batch.groups.old_logps[i],
      }
