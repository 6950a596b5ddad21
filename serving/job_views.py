"""A job as OpenAI's clients read it: the job, its events, its checkpoints, from its run's files."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from serving.errors import not_found
from serving.job_request import model_of
from serving.jobs import Jobs
from training.records.run_folder import RunFolder


def job(about: Mapping[str, Any]) -> dict[str, Any]:
  """OpenAI's fine_tuning.job."""
  asked, is_done = about["about"], about["status"] == "succeeded"
  given = asked["hyperparameters"]
  method = asked["method"]
  is_tuning = method != "round"
  finished = about.get("finished")
  return {
    "id": about["id"],
    "object": "fine_tuning.job",
    "created_at": int(about["created"]),
    "finished_at": int(finished) if finished else None,
    "status": about["status"],
    "error": about.get("error"),
    "model": asked["model"],
    "fine_tuned_model": model_of(about["id"], asked) if is_done and is_tuning else None,
    "training_file": asked["training_file"],
    "validation_file": None,
    "method": {"type": method, method: {"hyperparameters": given}},
    "hyperparameters": given,
    "seed": asked["seed"],
    "organization_id": "",
    "result_files": [],
    "trained_tokens": None,
  }


def events(jobs: Jobs, about: Mapping[str, Any]) -> list[dict[str, Any]]:
  """All that happened, and the run's metrics, the latest first as OpenAI has it."""
  found = [
    (event["time"], _event(about["id"], n, event["time"], event["level"], event["message"]))
    for n, event in enumerate(about["events"])
  ]
  run = RunFolder(jobs.run_of(about))
  rows = run.read_metrics()
  created = run.read_config().get("created", about["created"])
  for row in rows:
    said = f"Step {row['step']}"
    if (loss := row.get("train/loss")) is not None:
      said += f": training loss {loss:.4f}"
    level = "warn" if "train/loss" in row and row["train/loss"] is None else "info"
    time = created + (row.get("seconds") or 0)
    event = _event(about["id"], f"s{row['step']}", time, level, said)
    found.append((time, event | {"type": "metrics", "data": row}))
  return [event for _, event in sorted(found, key=lambda one: one[0], reverse=True)]


def checkpoints(jobs: Jobs, about: Mapping[str, Any]) -> list[dict[str, Any]]:
  """OpenAI's checkpoints of a job, the latest first; the last one is what its model is."""
  run, model = RunFolder(jobs.run_of(about)), model_of(about["id"], about["about"])
  times: dict[int, int] = {}
  for name in os.listdir(run.checkpoints) if os.path.isdir(run.checkpoints) else []:
    with contextlib.suppress(FileNotFoundError):  # training deletes old ones
      if name.isdigit():
        times[int(name)] = int(os.path.getmtime(os.path.join(run.checkpoints, name)))
  rows: dict[int, dict[str, Any]] = {}
  for row in run.read_metrics():
    rows[row["step"]] = rows.get(row["step"], {}) | row
  return [
    {
      "id": f"ftckpt-{about['id'].removeprefix('ftjob-')}-{step}",
      "object": "fine_tuning.job.checkpoint",
      "created_at": times[step],
      "fine_tuning_job_id": about["id"],
      "fine_tuned_model_checkpoint": f"{model}:step-{step}",
      "step_number": step,
      "metrics": {"step": step, "train_loss": rows.get(step, {}).get("train/loss")}
      | rows.get(step, {}),
    }
    for step in sorted(times, reverse=True)
  ]


def page(found: Sequence[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
  """OpenAI's list: at most `limit` after the object of this id. ApiError: it is not there."""
  ids = [one["id"] for one in found]
  if after and after not in ids:  # to begin anew would be a list without an end
    raise not_found("object", after, "after")
  start = ids.index(after) + 1 if after else 0
  shown = list(found[start : start + limit])
  ends = {
    "first_id": shown[0]["id"] if shown else None,
    "last_id": shown[-1]["id"] if shown else None,
  }
  return {"object": "list", "data": shown, "has_more": start + limit < len(found)} | ends


def _event(job_id: str, n: Any, time: float, level: str, message: str) -> dict[str, Any]:
  return {
    "id": f"ftevent-{job_id.removeprefix('ftjob-')}-{n}",
    "object": "fine_tuning.job.event",
    "created_at": int(time),
    "level": level,
    "message": message,
    "type": "message",
    "data": None,
  }
