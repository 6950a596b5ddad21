"""All that serves a deployment, put together: its policies, its queue, its files."""

import os
from typing import Any

from rounds import collecting, feedback_rows
from rounds.deployment import Deployment
from serving import job_request, schedule
from serving.chat import Chat
from serving.completions import Completions
from serving.errors import invalid, not_found
from serving.feedback import FeedbackRows
from serving.files import Files
from serving.jobs import WAITING, Jobs
from serving.policies import Policies
from serving.promotion import Promotion
from serving.state import State
from training import run
from training.errors import UserError


class Service:
  """The parts, for the routes of `api`. One process at a time may serve a deployment."""

  def __init__(self, deployment: Deployment, root: str):
    self.deployment, path = deployment, deployment.path
    deployment.write_metrics()  # a promotion may have been killed after its verdict
    self.state = State(os.path.join(path, "service.sqlite"))
    self.files = Files(os.path.join(path, "files"))
    self.jobs = Jobs(deployment, self.state, root)
    self.policies = Policies(deployment, root, self.jobs.models)
    self.chat = Chat(self.policies)
    self.completions = Completions(self.policies, self.chat, self.state)
    self.feedback = FeedbackRows(deployment.feedback, self.state)
    self.promotion = Promotion(deployment, self.policies)

  def start(self, every: str) -> None:
    """Loads the policy in service, then draws answers, does jobs, and begins rounds on time."""
    self.chat.warm_up(self.deployment.in_service)
    self.chat.start()
    self.jobs.start()
    if every:
      schedule.on_schedule(schedule.seconds_of(every), self.add_round)

  def add_job(self, body: dict[str, Any], key: str | None) -> dict[str, Any]:
    """Queues the fine-tuning job that a request asks for, once all that can be known is good.

    Of a key that came before, it is the job that was made then, whatever has changed since.
    """
    if key and (made := self.state.job_of_key(key)):
      return made
    request = job_request.read(body)
    folder = self.policies.folder_of(request["model"])
    if folder is None:
      raise not_found("model", request["model"], "model")
    rows, most, rows_file = self._data(request["training_file"], request["method"])
    k = job_request.group_size(request, most)
    about = request | {"base_run": self.policies.run_of(folder), "k": k, "rows": rows}
    about |= {"rows_file": rows_file}
    config = job_request.config_of(about, self.deployment, about["base_run"], max(rows, 1), k)
    try:
      run.check(config)
    except UserError as error:
      raise invalid("method", str(error), "invalid_config") from None
    said = f"Created: {request['method']}" + (f" on {rows} rows" if rows else "")
    return self.jobs.add(about, said, key)

  def add_round(self) -> None:
    """Queues a round, unless one waits or is under way, or too few rows have come for one."""
    if any(job["about"]["method"] == "round" for job in self.state.jobs(*WAITING)):
      return
    config, feedback = self.policies.config, self.deployment.feedback
    if config.rounds.judge == "people":
      there = len(feedback_rows.take(feedback, {}, None, set()).rows)
      if there - sum(self.deployment.taken.values()) < collecting.count_of(config):
        return
    about = {"method": "round", "model": "current", "training_file": "feedback", "seed": 0}
    about |= {"hyperparameters": {}, "suffix": ""}
    self.jobs.add(about, "Created by the schedule: a round.")

  def delete_file(self, file_id: str) -> dict[str, Any]:
    users = [
      job["id"] for job in self.state.jobs(*WAITING) if job["about"]["training_file"] == file_id
    ]
    return self.files.delete(file_id, users[0] if users else "")

  def _data(self, training_file: str, method: str) -> tuple[int, int, str]:
    """The rows of a job's data, the most responses of one, and their file if it is an upload."""
    if not training_file:
      return 0, 0, ""
    if training_file == job_request.FEEDBACK:
      try:
        rows = feedback_rows.take(self.deployment.feedback, {}, None, set()).rows
      except UserError as error:
        raise invalid("training_file", str(error), "invalid_rows") from None
      if not rows:
        raise invalid("training_file", "There is no feedback yet.", "no_rows")
      return len(rows), max(len(row.responses) for row in rows), ""
    about = self.files.get(training_file)
    if about["fewest_responses"] < 2 and method in ("dpo", "grpo"):
      message = f"{training_file} has rows of one response: {method} compares two or more."
      raise invalid("training_file", message, "invalid_rows")
    return about["rows"], about["most_responses"], about["rows_file"]
