"""The service as a process of its own, small enough to start in seconds."""

import os
import signal
import subprocess
import sys
from typing import Any

from openai import OpenAI

from tests.experiments.test_train import environment

SMALL = """
  task.reward=scorer steps=2 batch_prompts=8 task.train_prompts=64 task.eval_prompts=16
  model.layers=1 model.d_model=32 model.heads=2 model.kv_heads=1 model.head_dim=16 model.ff_dim=64
  base.steps=60 base.batch_prompts=32 eval.every=2 eval.samples=2 checkpoint.every=1
  rounds.groups=4 wandb.mode=disabled
""".split()
BEGIN = ["--config=configs/rounds.py", *(f"--config.{setting}" for setting in SMALL)]


class Server:
  """`python -m experiments.serve` in the folder `place`, on a port of its own choice."""

  def __init__(self, place, *words, deployment="runs/mine"):
    self.home = place / deployment
    command = [sys.executable, "-m", "experiments.serve", f"--deployment={deployment}", "--port=0"]
    self.process = subprocess.Popen(
      [*command, *words],
      cwd=place,
      env=environment(place),
      stdout=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )
    self.url = ""

  def wait(self) -> "Server":
    """Until it listens."""
    assert self.process.stdout is not None
    line = self.process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), line
    self.url = line.split()[0].removesuffix("/?token=…")
    return self

  @property
  def client(self) -> Any:  # of answers whose fields are checked by looking
    return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=120)

  def kill(self) -> None:
    """kill -9 of the server alone: its job's process notices by itself."""
    if self.process.poll() is None:
      os.kill(self.process.pid, signal.SIGKILL)
    self.process.communicate()

  def stop(self) -> None:
    """As a person does, with ^C."""
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGINT)
    self.process.communicate()


def ask(client, text="stone>", model="current", **options):
  """A completion of one message."""
  messages = [{"role": "user", "content": text}]
  return client.chat.completions.create(model=model, messages=messages, **options)


def prefer(client, completion_id, **said):
  return client.post("/feedback", cast_to=object, body={"completion": completion_id} | said)


def comparable(client, count, **options):
  """Completions of two answers that differ and are not empty."""
  found = []
  for n in range(200):
    completion = ask(client, f"{'abcdefgh'[n % 8] * 3}>", n=2, temperature=1.5, **options)
    texts = [choice.message.content.strip() for choice in completion.choices]
    if all(texts) and texts[0] != texts[1]:
      found.append(completion)
    if len(found) == count:
      return found
  raise AssertionError("the policy hardly ever writes two answers")


def ended(client, job_id, seconds=600):
  """The job, when it neither waits nor runs."""
  import time

  until = time.monotonic() + seconds
  while (job := client.fine_tuning.jobs.retrieve(job_id)).status in ("queued", "running"):
    assert time.monotonic() < until, job
    time.sleep(0.2)
  return job
