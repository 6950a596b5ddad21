"""The offline data set: as many groups as a run uses, written once by the base policy."""

import collections
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from models import adapters
from models.groups import Groups
from models.transformer import Params
from tasks import group_dataset
from tasks.datasets.text_rows import TextRows
from training import base_policy, hosts
from training.checking import task_signatures, text_tasks, threshold
from training.checking.digests import of_recipe
from training.compiled import compiled_log_probs
from training.epochs import rows_of_steps
from training.errors import UserError
from training.layouts import placed
from training.parts import Parts
from training.records.files import read_json, write_json
from training.records.run_folder import Report
from training.scoring import Scorer
from training.shared_runs import locked
from training.sources.offline import Offline
from training.sources.online import Online
from training.sources.order import rows_of_run

RECIPE = "recipe.json"  # beside the data: all that determined it, and the seconds that it took


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
  recipe = recipe_of(config)
  task = task_signatures.label(config.task.name)
  name = f"{task}-k{config.group_size}-s{config.seed}-{of_recipe(recipe)}"
  directory = os.path.join(root, "datasets", name)
  with locked(directory):
    if not hosts.first_decides(lambda: bool(group_dataset.path_in(directory))):
      started = time.perf_counter()
      rows = written_by(base, parts, range(config.steps), report)
      if hosts.is_first():
        write(rows, directory, config, recipe, started)
      else:
        collections.deque(rows, maxlen=0)  # samples its part of them
      hosts.wait("data set written")
    return group_dataset.path_in(directory)


def recipe_of(config: ConfigDict) -> dict[str, Any]:
  """All that determines the groups that the base policy of `config` writes."""
  recipe: dict[str, Any] = {"base": base_policy.digest_of_base(config)}
  recipe |= {name: config[name].to_dict() for name in ("task", "sampling")}
  recipe |= {name: config[name] for name in ("seed", "steps", "batch_prompts", "group_size")}
  return recipe | {"pretrained": config.model.pretrained}


def write(
  rows: Iterable[dict[str, Any]],
  directory: str,
  config: ConfigDict,
  recipe: dict[str, Any],
  started: float,
) -> None:
  """A data set of these rows below `directory`; `started`, a perf_counter, is when it was begun."""
  path = group_dataset.write(directory, rows, config.group_size, config.sampling.max_tokens)
  seconds = time.perf_counter() - started
  write_json(os.path.join(path, RECIPE), recipe | {"seconds": seconds})


def source_of(
  parts: Parts, base: Params, root: str, report: Report, reward_model: Params | None = None
) -> Offline:
  """The data set of an offline run: texts or a collected one that it names, or its own."""
  texts = text_tasks.groups_of(parts.config)
  if texts is not None:
    scorer = Scorer(parts, reward_model, scored_already=True)
    return of_texts(parts, texts.train, base, scorer)
  path = parts.config.offline.dataset or ensure(parts, base, root, report)
  return load(parts, path, Scorer(parts, reward_model))


def load(parts: Parts, path: str, scorer: Scorer) -> Offline:
  """The data set at this path as a source. UserError if the config can't train on it honestly."""
  try:
    rows = group_dataset.read(path, lambda n: rows_of_run(parts.config, parts.mesh, n))
  except FileNotFoundError as error:
    raise UserError(f"offline.dataset: {error}") from None
  config, recipe = parts.config, read_json(os.path.join(path, RECIPE))
  k, t = rows.arrays["responses"].shape[1:]
  problems = []
  if k != config.group_size:
    problems.append(f"K={k} responses a group; this config has group_size={config.group_size}")
  if t > config.sampling.max_tokens:
    problems.append(f"{t} tokens; this config has sampling.max_tokens={config.sampling.max_tokens}")
  temperature = recipe.get("sampling", {}).get("temperature", config.sampling.temperature)
  if temperature != config.sampling.temperature:
    problems.append(
      f"log-probs at temperature {temperature}; this config has {config.sampling.temperature}"
    )
  written_by = recipe.get("pretrained", "")
  if written_by != config.model.pretrained:
    problems.append(
      f"the tokens of model.pretrained={written_by!r}; this config has {config.model.pretrained!r}"
    )
  held_out = {item.prompt for item in parts.task.evaluation} & {
    prompt for prompt, _ in rows.texts.values()
  }
  if held_out:
    problems.append(f"{len(held_out)} of the prompts held out for evaluation")
  if problems:
    raise UserError(f"offline.dataset {path} holds " + "; and ".join(problems))
  if config.offline.dataset and config.scoring.reward == "task":
    if len(np.unique(rows.arrays["rewards"])) > 1:  # a policy may have been always wrong
      for problem in threshold.problems(config, rows.arrays["rewards"]):
        raise UserError(problem)
  if recipe.get("judge", "task") != "task":  # somebody's choices, not the task's rewards
    scorer = Scorer(parts, scored_already=True)
  tokens = {i: parts.task.tokenizer.encode_prompt(text[0]) for i, text in rows.texts.items()}
  prompts, longest = [tokens[int(i)] for i in rows.held], max(map(len, tokens.values()))
  seconds = recipe.get("seconds", 0.0)
  by_base = recipe.get("base") == base_policy.digest_of_base(config)
  return Offline(parts, scorer, rows, prompts, longest, seconds, by_base=by_base)


def of_texts(parts: Parts, texts: TextRows, base: Params, scorer: Scorer) -> Offline:
  """Groups of texts as a source.

  Where a row does not say its log-probs, and the loss asks for `old_logps`, they are the base
  policy's, computed when the group is collected: importance ratios then say how far the policy is
  from where it began, not from whoever wrote the response.
  """
  config = parts.config
  of_run = rows_of_steps(config.seed, config.steps, config.batch_prompts, len(texts))
  held = rows_of_run(config, parts.mesh, len(texts))
  all_groups = texts.tokens(of_run)
  groups = all_groups.take(np.searchsorted(of_run, held))
  arrays = {name: getattr(groups, name) for name in (*group_dataset.ARRAYS, "known")}
  of_rows = {int(i): (row.prompt, row.answer) for i, row in zip(held, groups.rows, strict=True)}
  rows = group_dataset.StoredGroups(len(texts), of_rows, held, arrays)
  longest = max(map(len, all_groups.prompts))
  needed = {"old_logps", "sampler_logps"} & parts.words
  log_probs = _base_log_probs(parts, base) if needed and not groups.known.all() else None
  return Offline(parts, scorer, rows, groups.prompts, longest, seconds=0.0, log_probs=log_probs)


def _base_log_probs(parts: Parts, base: Params) -> Callable[[Params, Groups], np.ndarray]:
  compute = compiled_log_probs(parts.model, parts.mesh)
  temperature = float(parts.config.sampling.temperature)

  def log_probs(params: Params, groups: Groups) -> np.ndarray:
    policy = adapters.reference_of(params, base)  # what is under adapters only `params` still has
    return hosts.to_local(compute(policy, placed(parts, groups), temperature)[0])

  return log_probs


def written_by(
  policy: Params, parts: Parts, steps: range, report: Report
) -> Iterator[dict[str, Any]]:
  """The groups that this policy writes for the prompts of these steps, as rows of a data set."""
  plain = dataclasses.replace(parts, config=base_policy.plain_training(parts.config))
  task, online = parts.task, Online(plain, Scorer(plain))
  for done, step in enumerate(steps):
    report({"doing": "collecting", "step": done, "steps": len(steps)})
    scored = hosts.gather(parts.mesh, online.collect(step, policy).scored)
    for fault in task.reward.new_faults():
      report({"warning": fault})
    for i, row in enumerate(scored.rows):
      yield {
        "prompt": task.train[row].prompt,
        "answer": task.train[row].answer,
        "responses": scored.groups.responses[i],
        "mask": scored.groups.mask[i],
        "finished": scored.finished[i],
        "rewards": scored.task_rewards[i],
        "logps": scored.groups.old_logps[i],
      }
