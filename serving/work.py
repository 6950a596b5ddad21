"""A job's process: `python -m serving.work DEPLOYMENT JOB ROOT`, started by `jobs.Jobs`.

  jobs/ftjob-…/job.json       what is to be done; never changed
    data/                     the groups that it trains on, as those of a round
    ft-dpo-1a2b3c4d/          an ordinary run, called like the model that it makes
    outcome.json              how it ended; a job with one is not done again
    log.txt                   what it printed

A step that left its file is not repeated, and a run goes on from its checkpoint: so a job may be
killed at any moment and started again. It ends with the server: its stdin closes then.
"""

import _thread
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from typing import Any

from rounds.deployment import Deployment, Round, Waiting
from serving import job_request
from training import interrupts
from training.errors import Diverged, UserError
from training.records import compiled_programs
from training.records.files import read_json, write_json

LONGEST_END = 20.0  # seconds in which an interrupted run may end by itself


def main(folder: str, job_id: str, root: str) -> None:
  interrupts.repeat_lost()
  compiled_programs.mend()
  # A server that a script began in the background ignores ^C, and its children with it.
  signal.signal(signal.SIGINT, interrupts.interrupt)
  threading.Thread(target=_end_with_the_server, daemon=True).start()
  deployment, home = Deployment(folder), os.path.join(folder, "jobs", job_id)
  about = read_json(os.path.join(home, "job.json"))
  outcome = os.path.join(home, "outcome.json")
  lock = os.open(os.path.join(home, ".lock"), os.O_CREAT | os.O_RDWR)
  fcntl.flock(lock, fcntl.LOCK_EX)  # the process of a server that was killed may be about to end
  if os.path.exists(outcome):
    return
  try:
    if about["method"] == "round":
      reason = one_round(deployment, home, root)
    else:
      reason = fine_tune(deployment, about, home, root)
    write_json(outcome, {"state": "succeeded", "reason": reason})
  except Waiting as waiting:
    write_json(outcome, {"state": "cancelled", "reason": str(waiting)})
  except (Diverged, UserError) as error:
    code = "diverged" if isinstance(error, Diverged) else "invalid_training"
    write_json(outcome, {"state": "failed", "reason": str(error), "code": code})


def fine_tune(deployment: Deployment, about: dict[str, Any], home: str, root: str) -> str:
  """Collects the job's groups, and trains on them. What is there already is not done again."""
  from training.records.run_folder import RunFolder
  from training.run import train

  config = job_request.config_of(about, deployment, about["base_run"], about["rows"], about["k"])
  if about["training_file"]:
    data = Round(home, 1)  # it keeps its groups where a round does
    if not data.dataset:
      shutil.rmtree(data.data_folder, ignore_errors=True)  # one that was left unfinished
      _collect(config, deployment, about, data, root)
    rows = data.recipe["groups"]
    base_run, k = about["base_run"], about["k"]
    config = job_request.config_of(about, deployment, base_run, rows, k)
    with config.unlocked():
      config.source, config.offline.dataset = "offline", data.dataset
  run = os.path.join(home, job_request.model_of(os.path.basename(home), about))
  train(config, run, root=root, variant=os.path.basename(run), sweep=deployment.run.name)
  return f"The job is done: {RunFolder(run).read_status()['step']} updates."


def _collect(config, deployment: Deployment, about: dict[str, Any], data: Round, root: str) -> None:
  from rounds import collecting, feedback_rows
  from training import base_policy, offline_data
  from training.build import parts_of

  started, parts = time.perf_counter(), parts_of(config)
  held_out = collecting.held_out(parts)
  if about["training_file"] == job_request.FEEDBACK:
    feedback = feedback_rows.take(deployment.feedback, {}, about["rows"], held_out=set())
    kept = [row for row in feedback.rows if row.prompt not in held_out]
    feedback = feedback_rows.Feedback(kept, feedback.written, {}, about["rows"] - len(kept))
  else:
    feedback = feedback_rows.of_file(about["rows_file"], held_out)
  if not feedback.rows:
    raise UserError("no row is left: evaluation uses the prompts of all of them")
  policy = base_policy.starting_params(config, parts, root, lambda row: None)
  rows, facts = collecting.of_rows(parts, policy, feedback)
  recipe = offline_data.recipe_of(config) | {"judge": "people", "rollouts": len(rows) * about["k"]}
  recipe |= facts | {"groups": len(rows)}
  offline_data.write(rows, data.data_folder, config, recipe, started)


def one_round(deployment: Deployment, home: str, root: str) -> str:
  """Does the deployment's next round, or the rest of one that was begun; returns its verdict."""
  from rounds import one_round

  deployment.hold()
  which = os.path.join(home, "round.json")  # so that a job that was killed does no second round
  if not os.path.exists(which):
    write_json(which, {"number": len(deployment.finished) + 1})
  round_ = deployment.round(read_json(which)["number"])
  verdict = round_.verdict or one_round.go_through(deployment, round_, root, lambda row: None)
  deployment.write_metrics()
  return f"round {round_.number} {'deployed' if verdict['deployed'] else 'refused'}: " + str(
    verdict["reason"]
  )


def _end_with_the_server() -> None:
  sys.stdin.read()
  _thread.interrupt_main()
  time.sleep(LONGEST_END)
  os._exit(130)


if __name__ == "__main__":
  main(*sys.argv[1:])
