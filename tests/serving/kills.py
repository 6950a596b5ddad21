"""Kills the service again and again while clients work, and counts what was lost or done twice.

python -m tests.serving.kills FOLDER 100     in an empty folder; 100 kills at random moments

After the last kill the service is started once more and goes through its queue; then what clients
were told is kept must be there, once.
"""

import collections
import contextlib
import json
import pathlib
import random
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import openai

from tests.serving.server import BEGIN, Server, comparable, ended, prefer

LONGEST = 6.0  # seconds from a start (of the process, or of listening) to a kill
MOST_FILES = 800  # the service takes 1,000
ROWS = b"".join(
  json.dumps({"prompt": f"{a}{b}c>", "chosen": f"c{b}{a}", "rejected": "x"}).encode() + b"\n"
  for a in "defg"
  for b in "hij"
)


class Client:
  """Works until the server is gone; `told` is what it was told is kept."""

  def __init__(self):
    self.told: dict[str, dict[str, Any]] = {"feedback": {}, "files": {}, "jobs": {}}
    self.asked_jobs = 0
    self.has_told = threading.Event()  # of any feedback

  def work(self, server: Server, with_jobs: bool) -> None:
    with contextlib.suppress(openai.APIConnectionError, openai.APITimeoutError, AssertionError):
      client = server.client
      if with_jobs:
        self.ask_for_a_job(client)
      while True:
        self.give_feedback(client)
        if len(self.told["files"]) < MOST_FILES:
          self.upload(client)

  def give_feedback(self, client) -> None:
    (completion,) = comparable(client, 1)
    best = random.randrange(2)
    prefer(client, completion.id, best=best)
    self.told["feedback"][completion.id] = [float(i == best) for i in range(2)]
    self.has_told.set()

  def upload(self, client) -> str:
    made = client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")
    self.told["files"][made.id] = made.bytes
    return made.id

  def ask_for_a_job(self, client) -> None:
    """A job, asked for under a key again and again until it is told of: it must be one."""
    key = f"job {self.asked_jobs}"
    numbers = {"n_epochs": 1, "batch_size": 4}
    job = client.fine_tuning.jobs.create(
      model="current",
      training_file=self.upload(client),
      method={"type": "dpo", "dpo": {"hyperparameters": numbers}},
      extra_headers={"Idempotency-Key": key},
    )
    self.told["jobs"][job.id] = key
    self.asked_jobs += 1


def go_through(place: pathlib.Path, kills: int, jobs_every: int = 10) -> dict[str, Any]:
  """Does it; returns the counts, and what was lost or doubled (empty lists, if all is well)."""
  client, moments = Client(), collections.Counter()
  Server(place, *BEGIN).wait().kill()  # the base policy is trained, and compiled programs are kept
  for n in range(kills):
    server, worker = Server(place), None
    if n % 3 == 0:  # while it starts
      time.sleep(random.uniform(0, LONGEST))
      moments["starting"] += 1
    else:
      server.wait()
      wants_job = client.asked_jobs * jobs_every <= n
      worker = threading.Thread(target=client.work, args=(server, wants_job))
      worker.start()
      if n == kills - 1:  # there is something to lose, on however slow a machine
        client.has_told.wait(120)
      time.sleep(random.uniform(0, LONGEST))
      moments["working"] += 1
    server.kill()
    if worker:
      worker.join()
    print(n + 1, {name: len(told) for name, told in client.told.items()}, flush=True)
  server = Server(place).wait()
  try:
    return dict(moments) | compare(server, client.told)
  finally:
    server.kill()


def compare(server: Server, told: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """What was told against what is there."""
  client, lost, doubled = server.client, [], []
  rows = (server.home / "feedback" / "service.jsonl").read_text().splitlines()
  said = [json.loads(row) for row in rows]
  counts = collections.Counter(row["id"] for row in said)
  doubled += [name for name, count in counts.items() if count > 1]
  kept = {row["id"]: row["said"] for row in said}
  lost += [name for name, scores in told["feedback"].items() if kept.get(name) != scores]
  for name in told["files"]:
    if client.files.content(name).read() != ROWS:
      lost.append(name)
  jobs = {job.id for job in client.fine_tuning.jobs.list(limit=1000)}
  lost += [name for name in told["jobs"] if name not in jobs]
  updates = 0
  for name in jobs:
    if ended(client, name).status != "succeeded":
      lost.append(name)
    (run,) = (server.home / "jobs" / name).glob("ft-*/metrics.jsonl")
    steps = [json.loads(row)["step"] for row in run.read_text().splitlines()]
    trained = [step for step in steps if step > 0]
    updates += len(set(trained))
    if len(trained) != len(set(trained)):
      doubled.append(name)
  if len(jobs) > len(told["jobs"]) + 1:  # one may have been accepted, and its answer lost
    doubled.append("jobs")
  found = {name: len(of_kind) for name, of_kind in told.items()}
  return found | {"jobs there": len(jobs), "updates": updates, "lost": lost, "doubled": doubled}


def main(argv: Sequence[str]) -> None:
  folder, kills = argv
  place = pathlib.Path(folder)
  place.mkdir(parents=True, exist_ok=True)
  print(go_through(place, int(kills)))


if __name__ == "__main__":
  main(sys.argv[1:])
