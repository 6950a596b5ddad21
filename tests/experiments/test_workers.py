"""Jobs run one after another in worker processes, and fail alone."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from experiments.sweeping import jobs
from experiments.sweeping.workers import Job, Pool

FUNCTIONS = """
import gc, os, signal, sys, time
from training.errors import Diverged

def work(report, *, steps=1, seconds=0.0):
  print("working")
  for step in range(1, steps + 1):
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    cores = len(os.sched_getaffinity(0))
    report({"step": step, "pid": os.getpid(), "cores": cores, "gpu": gpu})
    time.sleep(seconds)

def crash(report):
  raise ValueError("no good")

def diverge(report):
  raise Diverged("train/loss is nan")

def be_interrupted_in_a_callback(report):
  def interrupt(phase, info):
    gc.callbacks.remove(interrupt)
    raise KeyboardInterrupt

  gc.callbacks.append(interrupt)
  gc.collect()
  time.sleep(5)

def die(report):
  os.kill(os.getpid(), signal.SIGKILL)

def be_killed_once(report, path):
  if not os.path.exists(path):
    open(path, "w").close()
    die(report)
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
  """Makes jobs that call a function of a module outside the project."""
  (tmp_path / "tiny_jobs.py").write_text(FUNCTIONS)
  monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

  def make(function, **arguments):
    log = str(tmp_path / f"{function}.txt")
    return Job(function, f"tiny_jobs:{function}", arguments, log)

  return make


def run(jobs, size=1):
  with Pool(size, os.environ) as pool:
    return list(pool.run(jobs))


def kinds(events):
  return [(event.job.name, event.kind) for event in events if event.kind != "progress"]


def test_jobs_run_one_after_another_in_the_same_process(job):
  events = run([job("work"), job("work")])
  assert kinds(events) == [("work", "started"), ("work", "finished")] * 2
  assert len({event.progress["pid"] for event in events if event.kind == "progress"}) == 1


def test_what_a_job_prints_goes_to_its_log(job):
  (work, crash) = (job("work"), job("crash"))
  run([work, crash])
  with open(work.log) as file:
    assert file.read() == "working\n"
  with open(crash.log) as file:
    assert "ValueError: no good" in file.read()


def test_an_interrupt_in_a_callback_is_not_lost(job):
  events = run([job("be_interrupted_in_a_callback")])
  assert [event.kind for event in events] == ["started", "stopped"]


def test_a_job_that_raises_fails_alone_and_says_why(job):
  events = run([job("crash"), job("diverge"), job("work")])
  ends = [(event.kind, event.reason) for event in events if event.reason]
  assert ends == [
    ("failed", "ValueError: no good"),
    ("diverged", "train/loss is nan"),
  ]
  assert events[-1].kind == "finished"


def test_a_worker_that_dies_fails_only_its_job_and_is_replaced(job):
  events = run([job("work"), job("die"), job("work")])
  ends = [(name, kind) for name, kind in kinds(events) if kind != "started"]
  assert ends == [("work", "finished"), ("die", "failed"), ("work", "finished")]
  assert "killed" in next(event.reason for event in events if event.kind == "failed")
  assert len({event.progress["pid"] for event in events if event.kind == "progress"}) == 2


def test_a_job_whose_worker_was_killed_is_started_once_more(job, tmp_path):
  work = job("be_killed_once", path=str(tmp_path / "before"))
  assert [kind for _, kind in kinds(run([work]))] == ["started", "started", "finished"]


def test_a_job_whose_function_is_missing_fails_with_its_name(job):
  events = run([job("nothing")])
  assert "nothing" in events[-1].reason


def test_two_workers_run_at_a_time_on_separate_cores(job):
  events = run([job("work", seconds=0.5), job("work", seconds=0.5)], size=2)
  assert [kind for _, kind in kinds(events)][:2] == ["started", "started"]
  cores = [event.progress["cores"] for event in events if event.kind == "progress"]
  total = len(os.sched_getaffinity(0))
  assert total == 1 or sum(cores) == total


def test_of_several_gpus_each_worker_has_its_share(job, monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")

  def gpus(size):
    events = run([job("work", seconds=0.5) for _ in range(3)], size=size)
    return sorted(event.progress["gpu"] for event in events if event.kind == "progress")

  assert gpus(3) == ["2", "2", "5"]
  assert gpus(1) == ["2,5"] * 3  # a run alone may split its work over all of them
  assert "XLA_CLIENT_MEM_FRACTION" not in jobs.environment(2)
  assert jobs.environment(4)["XLA_CLIENT_MEM_FRACTION"] == "0.450"


def test_stop_interrupts_the_job_and_starts_no_other(job):
  events = []
  with Pool(1, os.environ) as pool:
    for event in pool.run([job("work", steps=100, seconds=0.1), job("work")]):
      events.append(event)
      if event.kind == "progress" and event.progress["step"] == 1:
        pool.stop()
  assert kinds(events) == [("work", "started"), ("work", "stopped")]


def test_a_second_stop_kills(job, tmp_path):
  with open(tmp_path / "tiny_jobs.py", "a") as file:
    file.write(
      "\ndef stubborn(report):\n  signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
      "  report({'step': 1})\n  time.sleep(60)\n"
    )
  began, events = time.time(), []
  with Pool(1, os.environ) as pool:
    for event in pool.run([job("stubborn")]):
      events.append(event)
      if event.kind == "progress":
        pool.stop()
        pool.stop()
  assert kinds(events)[-1] == ("stubborn", "stopped")
  assert time.time() - began < 30


def test_a_worker_whose_sweep_was_killed_stops_its_job(job):
  work = job("work", steps=600, seconds=0.1)
  line = {
    "function": work.function,
    "arguments": dict(work.arguments),
    "log": work.log,
  }
  worker = subprocess.Popen(
    [sys.executable, "-m", "experiments.sweeping.worker"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert worker.stdin and worker.stdout
  worker.stdin.write(json.dumps(line) + "\n")
  worker.stdin.flush()
  assert "progress" in worker.stdout.readline()
  worker.stdin.close()
  assert worker.wait(timeout=10) == 130
  assert '"stopped"' in worker.stdout.read()


@pytest.mark.parametrize("shell", ["", "trap '' INT; "], ids=["", "in the background"])
def test_an_interrupted_idle_worker_ends_quietly(job, shell):
  command = f"{shell}exec {shlex.quote(sys.executable)} -m experiments.sweeping.worker"
  work = job("work")
  line = {"function": work.function, "arguments": dict(work.arguments), "log": work.log}
  worker = subprocess.Popen(
    ["sh", "-c", command],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert worker.stdin and worker.stdout
  worker.stdin.write(json.dumps(line) + "\n")
  worker.stdin.flush()
  while '"finished"' not in worker.stdout.readline():  # it has nothing to do then
    assert worker.poll() is None
  worker.send_signal(signal.SIGINT)
  _, errors = worker.communicate(timeout=10)
  assert (errors, worker.returncode) == ("", 130)
