"""The groups of a round: written by the policy in service and judged, or from people's rows."""

import contextlib
import io
import time
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from models.groups import Groups
from models.transformer import Params
from rounds import feedback_rows
from rounds.deployment import Deployment, Round
from rounds.simulated_user import agreement, simulated_user
from tasks.rows.row import Prompt
from tasks.tokenizers.tokenizer import left_pad
from training import base_policy, offline_data
from training.build import parts_of
from training.checking import pretrained_model
from training.compiled import compiled_log_probs
from training.parts import Parts
from training.records.run_folder import Report

LONGEST_PROMPT = 1024  # tokens, for a model that names no limit
AT_ONCE = 32  # rows whose log-probs are computed together

Rows = list[dict[str, Any]]


def collect(
  config: ConfigDict, deployment: Deployment, round_: Round, root: str, report: Report
) -> None:
  """Writes the round's data set; `config` is the round's.

  Raises Waiting if people gave too few rows.
  """
  started, parts = time.perf_counter(), parts_of(config)
  policy = base_policy.starting_params(config, parts, root, report)
  if config.rounds.judge == "people":
    rows, about = of_people(parts, policy, deployment)
  else:
    rows, about = of_policy(parts, policy, round_.number, report)
  recipe = offline_data.recipe_of(config) | {"judge": config.rounds.judge, "round": round_.number}
  recipe |= {"rollouts": len(rows) * config.group_size} | about
  with contextlib.redirect_stdout(io.StringIO()):  # tensorflow-datasets announces itself
    offline_data.write(rows, round_.data_folder, config, recipe, started)


def count_of(config: ConfigDict) -> int:
  """Returns the number of groups in a round."""
  return config.rounds.groups or config.steps * config.batch_prompts


def of_policy(
  parts: Parts, policy: Params, number: int, report: Report
) -> tuple[Rows, dict[str, Any]]:
  """Samples groups from the policy, judged by the task or the simulated user.

  The prompts of round `number` continue the stream that an online run of this seed goes through.
  Returns the rows, and facts about them for the recipe.
  """
  config = parts.config
  batches = count_of(config) // config.batch_prompts
  steps = range((number - 1) * batches, number * batches)
  rows = list(offline_data.written_by(policy, parts, steps, report))
  rewards = np.stack([row["rewards"] for row in rows])
  about: dict[str, Any] = {"true_reward": float(np.nanmean(rewards))}
  if config.rounds.judge == "user":
    rng = np.random.default_rng((config.seed, number))
    scores = simulated_user(rewards, rng, config.rounds.temperature, config.rounds.noise)
    rows = [row | {"rewards": score} for row, score in zip(rows, scores, strict=True)]
    about |= agreement(scores, rewards)
  return rows, about


def of_people(parts: Parts, policy: Params, deployment: Deployment) -> tuple[Rows, dict[str, Any]]:
  """Takes the oldest rows that no earlier round took. Raises Waiting if there are too few.

  A row without the log-probs of the policy that wrote it gets those of the policy in service; the
  recipe counts such rows as `assumed`. Returns the rows, and facts about them for the recipe.
  """
  count = count_of(parts.config)
  feedback = feedback_rows.take(deployment.feedback, deployment.taken, count, held_out(parts))
  return of_rows(parts, policy, feedback)


def held_out(parts: Parts) -> set[Prompt]:
  """The prompts that evaluation uses, and training may not."""
  return {item.prompt for item in parts.task.evaluation}


def of_rows(
  parts: Parts, policy: Params, feedback: feedback_rows.Feedback
) -> tuple[Rows, dict[str, Any]]:
  """The rows as groups of the config's size, and facts about them for the recipe."""
  config, name = parts.config, parts.config.model.pretrained
  context = pretrained_model.files(name).context_length if name else None
  limit, most = (context or LONGEST_PROMPT), config.sampling.max_tokens
  rows, known = feedback_rows.groups_of(
    feedback,
    parts.task,
    group_size=config.group_size,
    max_tokens=most,
    max_prompt_tokens=limit - most,
  )
  unknown = np.flatnonzero(~known)
  for start in range(0, len(unknown), AT_ONCE):
    some = unknown[start : start + AT_ONCE]
    logps = log_probs_under(policy, parts, [rows[i] for i in some])
    for i, logp in zip(some, logps, strict=True):
      rows[i]["logps"] = logp
  ties = float(np.mean([row["rewards"].max() == row["rewards"].min() for row in rows]))
  about = {"taken": feedback.taken, "held_out": feedback.held_out, "assumed": len(unknown)}
  return rows, about | {"ties": ties}


def log_probs_under(policy: Params, parts: Parts, rows: Rows) -> np.ndarray:
  """Returns log-probs [n, K, T] of the rows' responses under this policy, 0 at padding."""
  tokenizer, n = parts.task.tokenizer, len(rows)
  shards = parts.mesh.shape["data"] * parts.mesh.shape["fsdp"]
  rows = [*rows, *rows[:1] * (-n % shards)]  # a number that the devices can split evenly
  encoded = [tokenizer.encode_prompt(row["prompt"]) for row in rows]
  prompts = left_pad(encoded, max(map(len, encoded)), tokenizer.pad_id)
  arrays = [np.stack([row[key] for row in rows]) for key in ("responses", "mask", "rewards")]
  groups = Groups(*prompts, *arrays)
  temperature = float(parts.config.sampling.temperature)
  logps = jax.device_get(compiled_log_probs(parts.model, parts.mesh)(policy, groups, temperature))
  return np.where(groups.mask, logps[0], 0.0).astype(np.float32)[:n]
