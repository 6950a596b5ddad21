"""Rewards as a user writes them, good and bad; named in configs as tests.tasks.rewards.own:..."""

import math
import os
import re
import signal
import time


def politeness(completion, *, word="please"):
  return completion.count(word)


def about_all(completion, prompt, answer, entry):
  return float(f"{prompt}{answer}{completion}{entry['x']}" == "pacx")


def hangs(completion):
  if "hang" in completion:
    while True:
      pass
  return 1.0


def sleeps(completion):
  time.sleep(30)


def backtracks(completion):
  return float(bool(re.fullmatch("(a+)+b", completion)))  # never gives the interpreter back


def raises(completion):
  return 1 / len(completion)


def kills_its_process(completion):
  if completion == "die":
    os._exit(3)
  return 1.0


def is_killed(completion, *, times=1):
  """As by the kernel for want of memory, so often; COUNT_IN is a file that counts."""
  with open(os.environ["COUNT_IN"], "ab") as count:
    if count.tell() < times:
      count.write(b".")
      count.flush()
      os.kill(os.getpid(), signal.SIGKILL)
  return 1.0


def hangs_up(completion):
  """Ends the talk, not the process."""
  os.closerange(3, 64)
  time.sleep(30)


def number(completion):
  if "slow" in completion:
    time.sleep(1)
  return float(completion.split()[-1])


def leaves(completion):
  raise SystemExit(4)


def gives(completion):
  values = {"text": "1.0", "inf": math.inf, "huge": 1e300, "none": None, "nan": math.nan}
  return values.get(completion, True)


def starts_a_process(completion):
  import subprocess

  child = subprocess.Popen(["sleep", "60"])
  with open(completion, "w") as file:
    file.write(str(child.pid))
  child.wait()


def modules(completion):
  import sys

  return float("jax" in sys.modules)


def temperature_of(completion, temprature):
  return 0.0


def any_options(completion, **options):
  return 0.0


def blind(prompt):
  return 0.0


def hangs_at_e(completion):
  while "e" in completion:
    pass
  return 1.0


def forks(completion):
  """Its child comes back, too."""
  import os

  os.fork()
  return float(len(completion))


def answers_for_others(completion):
  """Writes to the pipe that jobs come from, as a child that nobody waits for might."""
  import os
  import sys
  from multiprocessing.connection import Connection

  if completion == "now":
    Connection(os.dup(int(sys.argv[1]))).send((0, 1, (1.0, "")))
  return 0.5
