"""A process that has imported all that commands import, and forks one for each start.

python -m tests.chaos.zygote < requests > answers

To import takes a command 3 to 8 seconds of a processor, and a kill then finds nothing written. A
request is a line, {"words": [module, ...], "folder", "environment", "output"}; the answers are
{"pid"} for it, and {"pid", "code"} when that process has ended. The fork calls the command's own
main. No backend of jax exists before the fork, so there are no threads that it could lose.
"""

import importlib
import json
import os
import select
import signal
import sys
import threading

from experiments.command_line import cli, endings

# With what each imports on its way; wandb and tensorflow_datasets take a second each.
MODULES = (
  *("experiments.train", "experiments.rounds", "training.assembly", "training.trial"),
  *("training.memory", "training.policy", "rounds.one_round", "orbax.checkpoint"),
  *("orbax.checkpoint._src.path.atomicity", "tensorflow_datasets", "wandb", "experiments.report"),
)


def wait_for_a_fork() -> dict:
  """Serves requests; returns, in each forked process, its own. Ends when stdin does."""
  answers, unread, running = os.dup(1), b"", set()

  def answer(**facts: int) -> None:
    os.write(answers, json.dumps(facts).encode() + b"\n")

  while True:
    if select.select([0], [], [], 0.02)[0]:
      if not (read := os.read(0, 65536)):
        sys.exit()
      *lines, unread = (unread + read).split(b"\n")
      for line in lines:
        if not (pid := os.fork()):
          os.close(answers)
          return json.loads(line)
        running.add(pid)
        answer(pid=pid)
    for pid in list(running):
      ended, status = os.waitpid(pid, os.WNOHANG)
      if ended:
        running.remove(pid)
        answer(pid=pid, code=os.waitstatus_to_exitcode(status))


def become(request: dict) -> None:
  """Makes this process what a shell's `python -m` would have started, and runs the command."""
  os.setsid()
  os.chdir(request["folder"])
  os.environ.update(request["environment"])
  output = os.open(request["output"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  os.dup2(output, 1)
  os.dup2(output, 2)
  signal.signal(signal.SIGINT, signal.default_int_handler)
  module, *arguments = request["words"]
  sys.argv, sys.path[0] = [module, *arguments], request["folder"]
  endings.quiet_from_the_first_second()
  sys.orig_argv = []  # huge pages are asked for before a process starts: too late here
  cli.run(importlib.import_module(module).main)


if __name__ == "__main__":
  for name in MODULES:
    importlib.import_module(name)
  if threading.active_count() > 1:
    raise RuntimeError(f"an import has started threads: {threading.enumerate()}")
  become(wait_for_a_fork())
