"""Chat under load: many clients ask a service that runs, and a job trains meanwhile.

python -m benchmarks.serving http://127.0.0.1:8600/v1 --clients=50 --seconds=60 --job

Each client asks again as soon as it is answered: one answer of a few tokens, of a message of its
own. Prints answers a second, and how long clients waited. --job queues a fine-tuning job first, of
a file of 400 pairs, and cancels it at the end.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from openai import OpenAI, OpenAIError

PAIRS = [
  {"prompt": f"{a}{b}{c}>", "chosen": f"{c}{b}{a}", "rejected": f"{a}{a}{b}"}
  for a in "abcdefghij"
  for b in "klmnopqrst"
  for c in "uvwx"
]


def main(argv: Sequence[str]) -> None:
  parser = argparse.ArgumentParser(
    "python -m benchmarks.serving",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("url", help="of the service, up to /v1")
  parser.add_argument("--clients", type=int, default=50)
  parser.add_argument("--seconds", type=float, default=60.0)
  parser.add_argument("--job", action="store_true", help="train meanwhile")
  parser.add_argument("--token", default="none")
  args = parser.parse_args(argv)
  client: Any = OpenAI(base_url=args.url, api_key=args.token, max_retries=0, timeout=300)
  job = begin_job(client) if args.job else None
  waits, errors, seconds = load(client, args.clients, args.seconds)
  state = client.fine_tuning.jobs.retrieve(job.id).status if job else "no job"
  if job and state in ("queued", "running"):
    client.fine_tuning.jobs.cancel(job.id)
  p50, p99, longest = (1000 * np.percentile(waits, q) for q in (50, 99, 100))
  rate = len(waits) / seconds
  print(
    f"{args.clients} clients, {len(waits)} answers in {seconds:.0f} s ({rate:.0f} a second), "
    f"{len(errors)} errors; job: {state}\n"
    f"waited: median {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms"
  )
  for error in sorted(set(errors))[:5]:
    print(error)


def begin_job(client: Any) -> Any:
  """A job that outlasts the measurement, once it runs."""
  rows = b"".join(json.dumps(pair).encode() + b"\n" for pair in PAIRS)
  file = client.files.create(file=("pairs.jsonl", rows), purpose="fine-tune")
  numbers = {"hyperparameters": {"n_epochs": 1000}}
  method = {"type": "dpo", "dpo": numbers}
  jobs = client.fine_tuning.jobs
  job = jobs.create(model="current", training_file=file.id, method=method)
  trains = False
  while not trains:
    events = jobs.list_events(job.id, limit=100).data
    trains = any(event.type == "metrics" and event.data["step"] > 0 for event in events)
    state = jobs.retrieve(job.id)
    if state.status not in ("queued", "running"):
      raise SystemExit(f"the job is {state.status}: {state.error}")
    time.sleep(0.5)
  return job


def load(client: Any, clients: int, seconds: float) -> tuple[list[float], list[str], float]:
  """Seconds that each answer took, errors, and how long it all took."""
  waits: list[float] = []
  errors: list[str] = []
  start = time.perf_counter()

  def ask(number: int) -> None:
    messages = [{"role": "user", "content": f"word{number}>"}]
    while time.perf_counter() < start + seconds:
      begun = time.perf_counter()
      try:
        client.chat.completions.create(model="current", messages=messages)
        waits.append(time.perf_counter() - begun)
      except OpenAIError as error:
        errors.append(f"{type(error).__name__}: {error}")

  threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return waits, errors, time.perf_counter() - start


if __name__ == "__main__":
  main(sys.argv[1:])
